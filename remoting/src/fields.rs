//! Typed headers from named fields and back.
//!
//! RocketMQ fills a header class by reflection: a field that is missing or malformed is logged and
//! stays null, and what happens then depends on the call. Here a mandatory one is an error that the
//! caller answers as RocketMQ does for its code; an optional one stays unset.
//! Source: RocketMQ `RemotingCommand.decodeCommandCustomHeader`.

use crate::ExtFields;

/// Why a request's header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A mandatory field is not there. The text is RocketMQ's.
    #[error("the custom field <{0}> is null")]
    Missing(&'static str),
    /// A mandatory field is not what it should be.
    #[error("the custom field <{name}> must be {expected}, got {value:?}")]
    Malformed {
        /// Its name on the wire.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// How its value begins.
        value: String,
    },
}

impl HeaderError {
    /// The name of the field on the wire.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing(name) | Self::Malformed { name, .. } => name,
        }
    }
}

/// How a field's type is read from, and written to, text.
pub(crate) trait Field: Sized {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError>;
    fn write(&self, ext: &mut ExtFields, name: &'static str);
}

/// Mandatory.
impl Field for String {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        ext.get(name).map(str::to_owned).ok_or(HeaderError::Missing(name))
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert(name, self);
    }
}

impl Field for Option<String> {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        Ok(ext.get(name).map(str::to_owned))
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        if let Some(text) = self {
            ext.insert(name, text);
        }
    }
}

/// Only `true`, in any case, is true (Java's `Boolean.parseBoolean`); absent is false.
impl Field for bool {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        Ok(ext.get(name).is_some_and(|text| text.eq_ignore_ascii_case("true")))
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert_display(name, self);
    }
}

/// For those whose absence says something.
impl Field for Option<bool> {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        ext.get(name).map(|_| bool::read(ext, name)).transpose()
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        if let Some(set) = self {
            set.write(ext, name);
        }
    }
}

/// A mandatory broker id: Java's `Long`, none of which is negative.
impl Field for u64 {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        let text = ext.get(name).ok_or(HeaderError::Missing(name))?;
        let number = text.parse().ok().and_then(|number: i64| Self::try_from(number).ok());
        number.ok_or_else(|| HeaderError::Malformed {
            name,
            expected: "an integer from 0 to 2^63 - 1",
            value: text.chars().take(32).collect(),
        })
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert_display(name, self);
    }
}

/// Mandatory, of any sign: offsets and times.
impl Field for i64 {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        number(ext, name, "an integer of 64 bits")
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert_display(name, self);
    }
}

/// Mandatory and never negative: queue ids and counts, Java's `Integer`.
impl Field for u32 {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        let number: i32 = number(ext, name, NOT_NEGATIVE)?;
        Self::try_from(number).map_err(|_| HeaderError::Malformed {
            name,
            expected: NOT_NEGATIVE,
            value: number.to_string(),
        })
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert_display(name, self);
    }
}

const NOT_NEGATIVE: &str = "an integer from 0 to 2^31 - 1";

/// A mandatory number.
fn number<N: std::str::FromStr>(
    ext: &ExtFields,
    name: &'static str,
    expected: &'static str,
) -> Result<N, HeaderError> {
    let text = ext.get(name).ok_or(HeaderError::Missing(name))?;
    text.parse().map_err(|_| HeaderError::Malformed {
        name,
        expected,
        value: text.chars().take(32).collect(),
    })
}

macro_rules! optional_numbers {
    ($($number:ty),*) => {
        $(
            impl Field for Option<$number> {
                fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
                    Ok(ext.get(name).and_then(|text| text.parse().ok()))
                }

                fn write(&self, ext: &mut ExtFields, name: &'static str) {
                    if let Some(number) = self {
                        ext.insert_display(name, number);
                    }
                }
            }
        )*
    };
}

optional_numbers!(i32, i64, u64);

/// A number that is 0 when it is not said: Java's primitive fields.
impl Field for i32 {
    fn read(ext: &ExtFields, name: &'static str) -> Result<Self, HeaderError> {
        Ok(Option::<Self>::read(ext, name)?.unwrap_or_default())
    }

    fn write(&self, ext: &mut ExtFields, name: &'static str) {
        ext.insert_display(name, self);
    }
}

/// Header types: a struct whose fields each have their name on the wire.
macro_rules! headers {
    ($(
        $(#[$doc:meta])*
        $header:ident {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty = $name:literal,)+
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Eq)]
            pub struct $header {
                $($(#[$field_doc])* pub $field: $kind,)+
            }

            impl $header {
                /// Reads it from the fields of a command; others are ignored.
                ///
                /// # Errors
                /// The first mandatory field that is missing or malformed.
                pub fn from_ext(ext: &$crate::ExtFields) -> Result<Self, HeaderError> {
                    Ok(Self { $($field: Field::read(ext, $name)?,)+ })
                }

                /// The fields of a command.
                #[must_use]
                pub fn to_ext(&self) -> $crate::ExtFields {
                    let mut ext = $crate::ExtFields::new();
                    $(Field::write(&self.$field, &mut ext, $name);)+
                    ext
                }
            }
        )+
    };
}

pub(crate) use headers;
