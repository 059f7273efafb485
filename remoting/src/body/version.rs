//! [`DataVersion`]: how far a broker's topic table has moved.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde::{Deserialize, Deserializer};

use super::{BodyError, MAPPING_VERSION, json, lenient};

/// RocketMQ's `DataVersion`. Its order is RocketMQ's `compare`: state version, counter, timestamp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataVersion {
    /// 5.x: the controller's epoch; 0 before, and where none is said.
    pub state_version: i64,
    /// Grows with each change of the broker's topics.
    pub counter: i64,
    /// When it changed last, in ms since 1970 by the broker's clock.
    pub timestamp_ms: i64,
}

impl DataVersion {
    /// Reads the body of 322. Missing numbers are 0.
    ///
    /// # Errors
    /// Not a JSON object, or one whose numbers are none.
    pub fn from_json(body: &[u8]) -> Result<Self, BodyError> {
        json::read(body, |text, _| json::scalar(text))
    }

    /// As a peer of this protocol version writes it: without the state version before 5.x.
    #[must_use]
    pub fn to_json(&self, version: i32) -> Vec<u8> {
        let Self { state_version, counter, timestamp_ms } = self;
        let state = match version >= MAPPING_VERSION {
            true => format!("\"stateVersion\":{state_version},"),
            false => String::new(),
        };
        format!("{{\"counter\":{counter},{state}\"timestamp\":{timestamp_ms}}}").into_bytes()
    }
}

/// In the form of 5.x, keys sorted.
impl Serialize for DataVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("DataVersion", 3)?;
        fields.serialize_field("counter", &self.counter)?;
        fields.serialize_field("stateVersion", &self.state_version)?;
        fields.serialize_field("timestamp", &self.timestamp_ms)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for DataVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default, rename_all = "camelCase")]
        struct Wire {
            #[serde(deserialize_with = "lenient::integer")]
            counter: Option<i64>,
            #[serde(deserialize_with = "lenient::integer")]
            state_version: Option<i64>,
            #[serde(deserialize_with = "lenient::integer")]
            timestamp: Option<i64>,
        }
        let wire = Option::<Wire>::deserialize(deserializer)?.unwrap_or_default();
        Ok(Self {
            state_version: wire.state_version.unwrap_or_default(),
            counter: wire.counter.unwrap_or_default(),
            timestamp_ms: wire.timestamp.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_written_and_read() {
        let version = DataVersion { state_version: 2, counter: 3, timestamp_ms: 1_795_359_880_900 };
        let five = br#"{"counter":3,"stateVersion":2,"timestamp":1795359880900}"#;
        assert_eq!(version.to_json(413), five);
        assert_eq!(json::standard(&version), five);
        assert_eq!(DataVersion::from_json(five), Ok(version));
        let four = br#"{"counter":3,"timestamp":1795359880900}"#;
        assert_eq!(version.to_json(409), four);
        assert_eq!(DataVersion::from_json(four), Ok(DataVersion { state_version: 0, ..version }));
    }

    #[test]
    fn numbers_may_be_strings_or_missing() {
        let read = |json: &str| DataVersion::from_json(json.as_bytes());
        let version = DataVersion { counter: 3, ..DataVersion::default() };
        assert_eq!(read(r#"{"counter":"3","timestamp":null,"other":[{}]}"#), Ok(version));
        assert_eq!(read("{}"), Ok(DataVersion::default()));
        for wrong in ["", "[]", "3", r#"{"counter":"x"}"#, r#"{"counter":1e30}"#] {
            assert!(matches!(read(wrong), Err(BodyError::Json(_))), "{wrong}");
        }
    }

    #[test]
    fn the_state_version_orders_first_and_the_timestamp_last() {
        let version = |state_version, counter, timestamp_ms| DataVersion {
            state_version,
            counter,
            timestamp_ms,
        };
        assert!(version(1, 0, 0) > version(0, 9, 9));
        assert!(version(0, 2, 0) > version(0, 1, 9));
        assert!(version(0, 1, 2) > version(0, 1, 1));
    }
}
