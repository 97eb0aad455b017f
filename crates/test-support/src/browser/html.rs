//! The parser of pages: forms, links, and `<meta http-equiv="refresh">`.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// The parsed parts of a page.
#[derive(Default)]
pub(super) struct Document {
    pub(super) forms: Vec<Form>,
    /// The URL of `<meta http-equiv="refresh">`.
    pub(super) refresh: Option<String>,
    /// The `href` of every link.
    pub(super) links: Vec<String>,
}

/// A form with its initial values.
#[derive(Default)]
pub(super) struct Form {
    id: String,
    pub(super) action: String,
    pub(super) is_post: bool,
    pub(super) fields: Vec<(String, String)>,
    /// The names of the text fields.
    pub(super) texts: Vec<String>,
    pub(super) buttons: Vec<Button>,
}

/// A button that submits its form.
pub(super) struct Button {
    pub(super) name: String,
    pub(super) value: String,
    /// The action that replaces that of the form.
    pub(super) action: Option<String>,
}

impl Document {
    pub(super) fn read(html: &[u8]) -> Self {
        let mut document = Self::default();
        let mut emitter = DefaultEmitter::default();
        // Styles and scripts are not parsed.
        emitter.naively_switch_states(true);
        let mut is_in_form = false;
        for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
            match token {
                Token::StartTag(tag) => is_in_form = document.open(&Tag(tag), is_in_form),
                Token::EndTag(tag) if &**tag.name == b"form" => is_in_form = false,
                _ => {}
            }
        }
        document
    }

    /// Processes a start tag. Returns whether the next tags are in a form.
    fn open(&mut self, tag: &Tag, is_in_form: bool) -> bool {
        match tag.name() {
            b"form" => {
                self.forms.push(Form {
                    id: tag.text("id"),
                    action: tag.text("action"),
                    is_post: tag.text("method").eq_ignore_ascii_case("post"),
                    ..Form::default()
                });
                return true;
            }
            b"meta" if tag.text("http-equiv").eq_ignore_ascii_case("refresh") => self.refresh = tag.refresh(),
            b"a" => self.links.extend(tag.attribute("href")),
            b"input" | b"button" if tag.attribute("disabled").is_none() => {
                let owner = match tag.attribute("form") {
                    Some(id) => self.forms.iter_mut().find(|form| form.id == id),
                    None => self.forms.last_mut().filter(|_| is_in_form),
                };
                if let Some(form) = owner {
                    form.add(tag);
                }
            }
            _ => {}
        }
        is_in_form
    }
}

impl Form {
    fn add(&mut self, tag: &Tag) {
        let (name, value) = (tag.text("name"), tag.text("value"));
        let kind = tag.attribute("type").map(|kind| kind.to_ascii_lowercase());
        match (tag.name(), kind.as_deref()) {
            (b"button", None | Some("submit")) | (b"input", Some("submit")) => {
                self.buttons.push(Button { name, value, action: tag.attribute("formaction") });
            }
            (b"button", _) | (b"input", Some("button" | "reset" | "image" | "file")) => {}
            (_, Some("checkbox" | "radio")) => {
                let value = tag.attribute("value").unwrap_or_else(|| "on".to_owned());
                self.fields.extend(tag.attribute("checked").map(|_| (name, value)));
            }
            (_, kind) => {
                if kind != Some("hidden") {
                    self.texts.push(name.clone());
                }
                self.fields.push((name, value));
            }
        }
        self.fields.retain(|(name, _)| !name.is_empty());
    }
}

/// A start tag. Its attributes have their references resolved.
struct Tag(StartTag<()>);

impl Tag {
    fn name(&self) -> &[u8] {
        &self.0.name
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let value = self.0.attributes.get(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    fn text(&self, name: &str) -> String {
        self.attribute(name).unwrap_or_default()
    }

    /// The URL in `content="0; url=…"`.
    fn refresh(&self) -> Option<String> {
        let content = self.text("content");
        let (_, target) = content.split_once([';', ','])?;
        let (name, url) = target.trim().split_once('=')?;
        let url = url.trim().trim_matches(['\'', '"']);
        name.trim().eq_ignore_ascii_case("url").then(|| url.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_what_is_none_is_not() {
        let document = Document::read(
            br#"<!doctype html><style>a{content:"<form>"}</style><!-- <form> -->
            <META HTTP-EQUIV=refresh CONTENT="0; URL='/next?a=1&amp;b=2'"><a href="/help">?</a>
            <form id=f method=POST action="/x?a&#61;1"><input type=hidden name=h value='"&lt;'>
            <input type=checkbox name=c checked><input type=radio name=r value=1><input name=t>
            <button name=b value=yes>Yes</button><button type=button name=no>No</button></form>
            <input type=hidden name=outside value=1><button form=f name=b value=far formaction="/far">Far</button>"#,
        );
        assert_eq!((document.refresh.as_deref(), document.links.len()), (Some("/next?a=1&b=2"), 1));
        let [form] = &document.forms[..] else { panic!("one form") };
        assert_eq!((&*form.action, form.is_post), ("/x?a=1", true));
        let fields: Vec<_> = form.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(fields, [("h", "\"<"), ("c", "on"), ("t", "")]);
        assert_eq!(form.texts, ["t"]);
        let buttons: Vec<_> = form.buttons.iter().map(|button| (&*button.value, button.action.as_deref())).collect();
        assert_eq!(buttons, [("yes", None), ("far", Some("/far"))]);
    }
}
