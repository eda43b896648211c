//! Checks of `ignition` and `kernelArguments`.

use super::{Checker, duplicates};
use crate::model::{Ignition, KernelArguments, Opt, Proxy};
use crate::url;
use report::codes;

impl Checker<'_> {
    pub(super) fn ignition(&mut self, ignition: &Ignition) {
        self.under("config", |c| {
            c.unique("merge", &ignition.config.merge);
            c.each("merge", &ignition.config.merge, |c, r| c.resource(r, true));
            c.under("replace", |c| c.resource(&ignition.config.replace, false));
        });
        self.under("proxy", |c| c.proxy(&ignition.proxy));
        let authorities = &ignition.security.tls.certificate_authorities;
        self.under("security.tls", |c| {
            c.unique("certificateAuthorities", authorities);
            c.each("certificateAuthorities", authorities, |c, r| c.resource(r, true));
        });
    }

    pub(crate) fn proxy(&mut self, proxy: &Proxy) {
        self.proxy_url("httpProxy", &proxy.http_proxy, true);
        self.proxy_url("httpsProxy", &proxy.https_proxy, false);
        self.unique_strings("noProxy", &proxy.no_proxy);
    }

    fn proxy_url(&mut self, key: &str, value: &Opt<String>, plain_ok: bool) {
        let Some(value) = value else { return };
        match url::parse(value).map(|u| u.scheme).as_deref() {
            None => self.error(codes::URL, key, value.span, "unable to parse url"),
            Some("https") => {}
            Some("http") if plain_ok => {}
            Some("http") => {
                let message = "insecure plaintext HTTP proxy specified for HTTPS resources";
                self.warning(codes::URL, key, value.span, message);
            }
            Some(_) => self.error(codes::URL, key, value.span, "proxies must be http(s)"),
        }
    }

    pub(super) fn kernel_arguments(&mut self, arguments: &KernelArguments) {
        let lists =
            [("shouldExist", &arguments.should_exist), ("shouldNotExist", &arguments.should_not_exist)];
        let all = lists.iter().flat_map(|(_, l)| l.iter()).map(|a| (a.value.clone(), a.span));
        for (index, span, first) in duplicates(all) {
            let (key, index) = match index.checked_sub(arguments.should_exist.len()) {
                None => ("shouldExist", index),
                Some(index) => ("shouldNotExist", index),
            };
            let report = self
                .report(
                    report::Severity::Error,
                    codes::DUPLICATE_ENTRY,
                    &format!("{key}.{index}"),
                    span,
                    "duplicate entry defined",
                )
                .related(first, "first defined here");
            self.reports.push(report);
        }
    }
}
