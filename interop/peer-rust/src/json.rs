//! As much of JSON as the peers exchange.

use std::fmt::Write;

#[derive(Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub fn get(&self, key: &str) -> &Value {
        match self {
            Value::Object(fields) => fields.iter().find(|f| f.0 == key).map_or(&Value::Null, |f| &f.1),
            _ => &Value::Null,
        }
    }

    pub fn number(&self) -> i64 {
        match self {
            Value::Number(n) => *n,
            _ => 0,
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Value::Text(s) => s,
            _ => "",
        }
    }

    pub fn texts(&self) -> Vec<String> {
        match self {
            Value::List(items) => items.iter().map(|item| item.text().to_string()).collect(),
            _ => Vec::new(),
        }
    }
}

/// Quotes a string so that both JSON and Go read it.
pub fn quote(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c].iter()),
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32).unwrap(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub fn quote_list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
    format!("[{}]", quoted.join(","))
}

pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let mut p = Parser { rest: text };
    let value = p.value()?;
    match p.rest {
        "" => Ok(value),
        rest => Err(format!("JSON with {:?} after its end", rest)),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn want(&mut self, token: &str) -> Result<(), String> {
        if self.skip(token) {
            return Ok(());
        }
        Err(format!("JSON: want {} before {:.40?}", token, self.rest))
    }

    fn value(&mut self) -> Result<Value, String> {
        for (token, value) in [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))] {
            if self.skip(token) {
                return Ok(value);
            }
        }
        if self.skip("[") {
            return Ok(Value::List(self.items("]", Self::value)?));
        }
        if self.skip("{") {
            return Ok(Value::Object(self.items("}", |p| {
                p.want("\"")?;
                let key = p.text()?;
                p.want(":")?;
                Ok((key, p.value()?))
            })?));
        }
        if self.skip("\"") {
            return Ok(Value::Text(self.text()?));
        }
        let end = self.rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number.parse().map(Value::Number).map_err(|e| format!("JSON: number {:?}: {}", number, e))
    }

    fn items<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        if self.skip(end) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.skip(end) {
                return Ok(items);
            }
            self.want(",")?;
        }
    }

    /// Reads a string after its first quote.
    fn text(&mut self) -> Result<String, String> {
        let mut units: Vec<u16> = Vec::new(); // an escape is of UTF-16
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or("JSON: a string without end")? {
                '"' => break,
                '\\' => units.push(match chars.next().unwrap_or(' ') {
                    'n' => 10,
                    't' => 9,
                    'r' => 13,
                    'b' => 8,
                    'f' => 12,
                    'u' => {
                        let digits: String = chars.by_ref().take(4).collect();
                        u16::from_str_radix(&digits, 16).map_err(|e| e.to_string())?
                    }
                    c => c as u16,
                }),
                c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        self.rest = chars.as_str();
        String::from_utf16(&units).map_err(|e| e.to_string())
    }
}

#[test]
fn values() {
    let value = parse("{\"a\":[\"\\u0000\\ud83d\\ude08☺\\n\",\"\"],\"n\":-12,\"b\":true,\"x\":null,\"e\":[]}".as_bytes()).unwrap();
    assert_eq!(value.get("a").texts(), ["\0😈☺\n", ""]);
    assert_eq!(value.get("n").number(), -12);
    assert_eq!(value.get("b"), &Value::Bool(true));
    assert_eq!(value.get("nothing"), &Value::Null);
    assert_eq!(parse(quote("\t\"\\😈").as_bytes()).unwrap().text(), "\t\"\\😈");
    for wrong in ["", "[", "{\"a\" 1}", "\"", "1 2", "[1,]"].iter() {
        assert!(parse(wrong.as_bytes()).is_err(), "{:?}", wrong);
    }
}
