//! The language a peer says it is written in (RocketMQ `LanguageCode`).

/// Language of the program that wrote a command: a name in JSON headers, a number in binary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Language {
    /// `JAVA`, 0. Also what we write, see [`crate::command::OUR_LANGUAGE`].
    #[default]
    Java,
    /// `CPP`, 1.
    Cpp,
    /// `DOTNET`, 2.
    DotNet,
    /// `PYTHON`, 3.
    Python,
    /// `DELPHI`, 4.
    Delphi,
    /// `ERLANG`, 5.
    Erlang,
    /// `RUBY`, 6.
    Ruby,
    /// `OTHER`, 7.
    Other,
    /// `HTTP`, 8.
    Http,
    /// `GO`, 9.
    Go,
    /// `PHP`, 10.
    Php,
    /// `OMS`, 11.
    Oms,
    /// `RUST`, 12 (known to RocketMQ since 4.9.4).
    Rust,
    /// `NODE_JS`, 13 (known to RocketMQ since 5.3).
    NodeJs,
    /// A name or number that this table does not have; accepted, and written as `OTHER`.
    Unknown,
}

/// Every language with its name; the position is its number.
const TABLE: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::DotNet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The language of this number, [`Language::Unknown`] past the table.
    pub fn from_code(code: u8) -> Self {
        TABLE.get(usize::from(code)).map_or(Self::Unknown, |(language, _)| *language)
    }

    /// The language of this name, [`Language::Unknown`] when the table does not have it.
    pub fn from_name(name: &str) -> Self {
        TABLE.iter().find(|(_, known)| *known == name).map_or(Self::Unknown, |(l, _)| *l)
    }

    /// The number for binary headers.
    pub fn code(self) -> u8 {
        match self {
            Self::Unknown => Self::Other as u8,
            known => known as u8,
        }
    }

    /// The name for JSON headers.
    pub fn name(self) -> &'static str {
        TABLE[usize::from(self.code())].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree_with_the_table() {
        for (code, (language, name)) in TABLE.into_iter().enumerate() {
            assert_eq!(usize::from(language.code()), code);
            assert_eq!(Language::from_code(language.code()), language);
            assert_eq!(Language::from_name(name), language);
            assert_eq!(language.name(), name);
        }
        assert_eq!(Language::from_code(14), Language::Unknown);
        assert_eq!(Language::from_name("KOTLIN"), Language::Unknown);
        assert_eq!(Language::Unknown.name(), "OTHER");
    }
}
