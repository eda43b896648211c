//! Dynamic data of a Container Linux Config: `{PRIVATE_IPV4}` and its like become variables that
//! the metadata agent of the platform fills at boot.

/// A platform that has dynamic data, with the variable behind each field.
#[derive(Debug)]
pub struct Platform {
    /// The name after `--platform`.
    pub name: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const HOST: &str = "HOSTNAME";
const PRIVATE4: &str = "PRIVATE_IPV4";
const PUBLIC4: &str = "PUBLIC_IPV4";
const PRIVATE6: &str = "PRIVATE_IPV6";
const PUBLIC6: &str = "PUBLIC_IPV6";

/// Every platform.
pub static PLATFORMS: [Platform; 9] = [
    Platform {
        name: "azure",
        fields: &[(PRIVATE4, "COREOS_AZURE_IPV4_DYNAMIC"), (PUBLIC4, "COREOS_AZURE_IPV4_VIRTUAL")],
    },
    Platform {
        name: "digitalocean",
        fields: &[
            (HOST, "COREOS_DIGITALOCEAN_HOSTNAME"),
            (PRIVATE4, "COREOS_DIGITALOCEAN_IPV4_PRIVATE_0"),
            (PUBLIC4, "COREOS_DIGITALOCEAN_IPV4_PUBLIC_0"),
            (PRIVATE6, "COREOS_DIGITALOCEAN_IPV6_PRIVATE_0"),
            (PUBLIC6, "COREOS_DIGITALOCEAN_IPV6_PUBLIC_0"),
        ],
    },
    Platform {
        name: "ec2",
        fields: &[
            (HOST, "COREOS_EC2_HOSTNAME"),
            (PRIVATE4, "COREOS_EC2_IPV4_LOCAL"),
            (PUBLIC4, "COREOS_EC2_IPV4_PUBLIC"),
        ],
    },
    Platform {
        name: "gce",
        fields: &[
            (HOST, "COREOS_GCE_HOSTNAME"),
            (PRIVATE4, "COREOS_GCE_IP_LOCAL_0"),
            (PUBLIC4, "COREOS_GCE_IP_EXTERNAL_0"),
        ],
    },
    Platform {
        name: "packet",
        fields: &[
            (HOST, "COREOS_PACKET_HOSTNAME"),
            (PRIVATE4, "COREOS_PACKET_IPV4_PRIVATE_0"),
            (PUBLIC4, "COREOS_PACKET_IPV4_PUBLIC_0"),
            (PUBLIC6, "COREOS_PACKET_IPV6_PUBLIC_0"),
        ],
    },
    Platform {
        name: "openstack-metadata",
        fields: &[
            (HOST, "COREOS_OPENSTACK_HOSTNAME"),
            (PRIVATE4, "COREOS_OPENSTACK_IPV4_LOCAL"),
            (PUBLIC4, "COREOS_OPENSTACK_IPV4_PUBLIC"),
        ],
    },
    Platform {
        name: "vagrant-virtualbox",
        fields: &[
            (HOST, "COREOS_VAGRANT_VIRTUALBOX_HOSTNAME"),
            (PRIVATE4, "COREOS_VAGRANT_VIRTUALBOX_PRIVATE_IPV4"),
        ],
    },
    Platform { name: "cloudstack-configdrive", fields: &[(HOST, "CLOUDSTACK_LOCAL_HOSTNAME")] },
    Platform {
        name: "custom",
        fields: &[
            (HOST, "COREOS_CUSTOM_HOSTNAME"),
            (PRIVATE4, "COREOS_CUSTOM_PRIVATE_IPV4"),
            (PUBLIC4, "COREOS_CUSTOM_PUBLIC_IPV4"),
            (PRIVATE6, "COREOS_CUSTOM_PRIVATE_IPV6"),
            (PUBLIC6, "COREOS_CUSTOM_PUBLIC_IPV6"),
        ],
    },
];

impl Platform {
    /// The platform of this name.
    pub fn find(name: &str) -> Option<&'static Platform> {
        PLATFORMS.iter().find(|platform| platform.name == name)
    }

    /// The fields it has, for hints.
    pub fn known(&self) -> String {
        let names: Vec<String> = self.fields.iter().map(|(field, _)| format!("`{{{field}}}`")).collect();
        names.join(", ")
    }

    fn variable(&self, field: &str) -> Option<&'static str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, variable)| *variable)
    }

    /// Replaces every `{FIELD}`; the error is the field that the platform does not have.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let (Some(open), Some(close)) = (rest.find('{'), rest.find('}')) {
            // A closing brace first ends the search, as it does in `ct`.
            if close < open {
                break;
            }
            let field = &rest[open + 1..close];
            let Some(variable) = self.variable(field) else { return Err(field.to_owned()) };
            out.push_str(&rest[..open]);
            out.push_str("${");
            out.push_str(variable);
            out.push('}');
            rest = &rest[close + 1..];
            // `ct` looks for the next closing brace only behind the next opening one.
            if let Some(open) = rest.find('{') {
                out.push_str(&rest[..open]);
                rest = &rest[open..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// Whether a text has dynamic data.
pub fn is_dynamic(text: &str) -> bool {
    text.contains(['{', '}'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_the_variables_of_the_platform() {
        let ec2 = Platform::find("ec2").unwrap();
        assert_eq!(
            ec2.fill("http://{PRIVATE_IPV4}:2379,{HOSTNAME}").as_deref(),
            Ok("http://${COREOS_EC2_IPV4_LOCAL}:2379,${COREOS_EC2_HOSTNAME}")
        );
        assert_eq!(ec2.fill("{PUBLIC_IPV6}"), Err("PUBLIC_IPV6".to_owned()));
        assert_eq!(ec2.fill("}{HOSTNAME}").as_deref(), Ok("}{HOSTNAME}"));
        assert_eq!(ec2.fill("a}b").as_deref(), Ok("a}b"));
        assert!(Platform::find("minix").is_none());
    }
}
