//! Checks of partition tables.

use super::Checker;
use crate::model::{Disk, OptExt as _, Partition, text};
use report::{Severity, Span, codes};
use std::collections::HashMap;

/// Longest GPT label, in UTF-16 units; the reference counts bytes.
const LABEL_MAX: usize = 36;

/// Whether `text` is a GUID or empty.
pub(crate) fn guid_ok(text: &str) -> bool {
    let groups = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    text.is_empty()
        || parts.len() == groups.len()
            && parts.iter().zip(groups).all(|(p, n)| p.len() == n && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl Checker<'_> {
    pub(super) fn tables(&mut self, disks: &[Disk]) {
        self.unique("disks", disks);
        self.each("disks", disks, |c, disk| {
            let span = disk.device.span().known().unwrap_or(disk.span);
            match text(&disk.device) {
                "" => c.error(codes::PARTITION, "device", span, "disk device is required"),
                device => c.check_path("device", device, span),
            }
            c.unique("partitions", &disk.partitions);
            c.each("partitions", &disk.partitions, Checker::partition);
            c.labels(disk);
            c.zeroes(disk);
            c.overlaps(disk);
        });
    }

    fn partition(&mut self, partition: &Partition) {
        let number = partition.number.get().copied().unwrap_or(0);
        if partition.should_exist.get() == Some(&false) {
            let set = |o: &crate::model::Opt<String>| !text(o).is_empty();
            if partition.label.is_some()
                || set(&partition.type_guid)
                || set(&partition.guid)
                || partition.start_mib.is_some()
                || partition.size_mib.is_some()
            {
                let message = "shouldExist specified false with other options also specified";
                self.error(codes::PARTITION, "", partition.span, message);
            }
        }
        if number < 0 {
            self.warning(codes::PARTITION, "number", partition.number.span(), "partition numbers start at 1");
        }
        if number == 0 && partition.label.is_none() {
            let message = "a partition number >= 1 or a label must be specified";
            self.error(codes::PARTITION, "", partition.span, message);
        }
        if let Some(label) = &partition.label {
            if label.len() > LABEL_MAX {
                let message = "partition labels may not exceed 36 characters";
                self.error(codes::PARTITION, "label", label.span, message);
            }
            if label.contains(':') {
                let message = "partition label will be truncated to text before the colon";
                let report = self.report(Severity::Error, codes::PARTITION, "label", label.span, message);
                self.reports.push(report);
            }
        }
        for (key, guid) in [("guid", &partition.guid), ("typeGuid", &partition.type_guid)] {
            if !guid_ok(text(guid)) {
                let message = "doesn't match the form \"01234567-89AB-CDEF-EDCB-A98765432101\"";
                self.error(codes::PARTITION, key, guid.span(), message);
            }
        }
    }

    fn labels(&mut self, disk: &Disk) {
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for (index, partition) in disk.partitions.iter().enumerate() {
            let Some(label) = &partition.label else { continue };
            if let Some(first) = seen.insert(label, label.span) {
                let key = format!("partitions.{index}.label");
                let message = "cannot use the same partition label twice";
                let report = self
                    .report(Severity::Error, codes::PARTITION, &key, label.span, message)
                    .related(first, "first used here");
                self.reports.push(report);
            }
        }
    }

    /// A partition without a number could take the place of one that is deleted.
    fn zeroes(&mut self, disk: &Disk) {
        let gone = disk.partitions.iter().find(|p| p.should_exist.get() == Some(&false));
        let zero = disk.partitions.iter().find(|p| p.number.get().is_none_or(|n| *n == 0));
        if let (Some(gone), Some(zero)) = (gone, zero) {
            let message = "shouldExist is false for a partition and other partition(s) has start or size 0";
            let report = self
                .report(Severity::Error, codes::PARTITION, "partitions", gone.span, message)
                .related(zero.span, "this one has no number");
            self.reports.push(report);
        }
    }

    /// Partitions with a given start and size must not overlap.
    fn overlaps(&mut self, disk: &Disk) {
        let mut ranges: Vec<(i64, i64, Span)> = disk
            .partitions
            .iter()
            .filter_map(|p| {
                let start = *p.start_mib.get().filter(|s| **s != 0)?;
                let size = *p.size_mib.get()?;
                let end = if size == 0 { start } else { start.saturating_add(size).saturating_sub(1) };
                Some((start, end, p.span))
            })
            .collect();
        ranges.sort_by_key(|r| (r.0, r.1));
        let mut last: Option<(i64, i64, Span)> = None;
        for range in ranges {
            if let Some((_, _, other)) = last.filter(|l| range.0 <= l.1) {
                let report = self
                    .report(Severity::Error, codes::PARTITION, "partitions", range.2, "partitions overlap")
                    .related(other, "with this one");
                self.reports.push(report);
            }
            last = Some(last.filter(|l| l.1 >= range.1).unwrap_or(range));
        }
    }
}
