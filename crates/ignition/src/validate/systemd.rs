//! Checks of `systemd`.

use super::Checker;
use crate::model::{Dropin, Opt, OptExt as _, Systemd, Unit, flag, text};
use crate::unit;
use report::{Report, codes};

impl Checker<'_> {
    pub(super) fn systemd(&mut self, systemd: &Systemd) {
        self.unique("units", &systemd.units);
        self.each("units", &systemd.units, Checker::unit);
        self.instances(systemd);
    }

    fn unit(&mut self, unit: &Unit) {
        let name = text(&unit.name);
        if !unit::has_unit_suffix(name) {
            let span = unit.name.as_ref().map_or(unit.span, |n| n.span);
            let hint = "a unit's name ends in its type, for example `.service`".to_owned();
            self.error_hint(codes::UNIT, "name", span, "invalid systemd unit extension", hint);
        }
        let options = self.unit_contents(&unit.contents);
        let written = unit.contents.get().is_some_and(|c| !c.is_empty());
        let instance = name.contains('@');
        if flag(&unit.enabled) && written && !instance && options.is_some_and(|o| !unit::is_installable(&o)) {
            let message =
                format!("unit `{name}` is enabled, but has no [Install] section so enable does nothing");
            self.warning(codes::UNIT, "contents", unit.contents.span(), &message);
        }
        self.unique("dropins", &unit.dropins);
        self.each("dropins", &unit.dropins, Checker::dropin);
    }

    pub(crate) fn dropin(&mut self, dropin: &Dropin) {
        self.unit_contents(&dropin.contents);
        if unit::extension(text(&dropin.name)) != ".conf" {
            let span = dropin.name.as_ref().map_or(dropin.span, |n| n.span);
            let hint = "systemd reads only drop-ins that end in `.conf`".to_owned();
            self.error_hint(codes::UNIT, "name", span, "invalid systemd drop-in extension", hint);
        }
    }

    pub(crate) fn unit_contents(&mut self, contents: &Opt<String>) -> Option<Vec<unit::UnitOption>> {
        let contents = contents.as_ref()?;
        match unit::parse(contents) {
            Ok(options) => Some(options),
            Err(error) => {
                let line = contents.get(..error.offset).unwrap_or("").matches('\n').count() + 1;
                let message = format!("invalid unit content: {}, in line {line} of the unit", error.message);
                self.error(codes::UNIT, "contents", contents.span, &message);
                None
            }
        }
    }

    /// An enabled instance needs an `[Install]` section in its template, if that is in the config.
    fn instances(&mut self, systemd: &Systemd) {
        let templates: std::collections::HashMap<&str, &Unit> = systemd
            .units
            .iter()
            .map(|u| (text(&u.name), u))
            .filter(|(name, _)| name.contains("@."))
            .collect();
        for (index, unit) in systemd.units.iter().enumerate() {
            let name = text(&unit.name);
            let Some((stem, instance)) = name.split_once('@') else { continue };
            if !flag(&unit.enabled) || instance.starts_with('.') {
                continue;
            }
            let template = format!("{stem}@{}", unit::extension(name));
            let Some(contents) = templates.get(template.as_str()).and_then(|t| t.contents.as_ref()) else {
                continue;
            };
            if unit::parse(contents).is_ok_and(|o| !o.is_empty() && !unit::is_installable(&o)) {
                let message =
                    format!("template unit `{template}` for `{name}` doesn't have an [Install] section");
                let report = Report::warning(codes::UNIT, message)
                    .at(unit.name.span())
                    .path(format!("$.systemd.units.{index}.name"))
                    .related(contents.span, "the template");
                self.reports.push(report);
            }
        }
    }
}
