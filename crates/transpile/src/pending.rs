use ignition::*;
use report::Reports;
pub fn validate(_: &Config, _: Version, _: &mut Reports) {}
pub fn validate2(_: &v2::Config, _: Version, _: &mut Reports) {}
pub fn to_v3(_: &v2::Config) -> (Option<Config>, Reports) {
    (None, Reports::new())
}
pub fn used_version(_: &Config) -> Version {
    Version::V3_0
}
