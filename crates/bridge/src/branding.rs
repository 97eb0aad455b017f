//! [`Branding`]: how the pages show this server to users.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How the pages of a bridge show this server to users: a logo, a colour, and descriptions of scopes.
///
/// ```
/// use portcullis_bridge::Branding;
///
/// let branding = Branding::new()
///     .with_color("#7c3aed")?
///     .with_scope_description("mcp:read", "Read your files");
/// assert!(Branding::new().with_color("purple").is_err());
/// # drop(branding);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Branding {
    /// A `data` URL.
    pub(crate) logo: Option<Box<str>>,
    pub(crate) color: Option<Color>,
    /// The descriptions by scope.
    pub(crate) scopes: BTreeMap<Box<str>, Box<str>>,
}

/// An error that reports an unusable logo or colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBranding {
    /// The logo has another type.
    #[error("must be a PNG, JPEG, WebP or SVG image")]
    LogoType,
    /// The logo is too large. The consent page contains it.
    #[error("must have at most 64 KiB")]
    LogoSize,
    /// The colour has another form.
    #[error("must have the form \"#rrggbb\"")]
    Color,
}

/// The maximum size of a logo.
const MAX_LOGO: usize = 64 * 1024;

impl Branding {
    /// Creates a branding without a logo, in the default colour.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the logo: a PNG, JPEG, WebP or SVG image of at most 64 KiB. Default: none.
    ///
    /// # Errors
    /// [`InvalidBranding`] for another type, or a larger image.
    pub fn with_logo(mut self, image: &[u8]) -> Result<Self, InvalidBranding> {
        if image.len() > MAX_LOGO {
            return Err(InvalidBranding::LogoSize);
        }
        let media_type = media_type(image).ok_or(InvalidBranding::LogoType)?;
        self.logo = Some(format!("data:{media_type};base64,{}", STANDARD.encode(image)).into());
        Ok(self)
    }

    /// Sets the colour of the main button and of the upper edge, such as `#7c3aed`. The text on it is black or white.
    ///
    /// # Errors
    /// [`InvalidBranding`] for another form.
    pub fn with_color(mut self, color: &str) -> Result<Self, InvalidBranding> {
        self.color = Some(Color::parse(color).ok_or(InvalidBranding::Color)?);
        Ok(self)
    }

    /// Adds the description of a scope. Default: the consent page shows the name of the scope only.
    pub fn with_scope_description(mut self, scope: &str, description: &str) -> Self {
        self.scopes.insert(scope.into(), description.into());
        self
    }
}

/// Returns the media type of `image`, by its signature.
fn media_type(image: &[u8]) -> Option<&'static str> {
    let text = image.strip_prefix(b"\xef\xbb\xbf").unwrap_or(image).trim_ascii_start();
    match image {
        _ if image.starts_with(b"\x89PNG\r\n\x1a\n") => Some("image/png"),
        _ if image.starts_with(b"\xff\xd8\xff") => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ if text.starts_with(b"<svg") || text.starts_with(b"<?xml") => Some("image/svg+xml"),
        _ => None,
    }
}

/// A colour in sRGB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Color([u8; 3]);

impl Color {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    /// Returns the declarations of the style sheet: the colour, and the one of black and white that has more contrast to it
    /// ([WCAG 2.2](https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)).
    pub(crate) fn style(self) -> String {
        let Self([red, green, blue]) = self;
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        let on_white = 1.05 / (luminance + 0.05);
        let on_black = (luminance + 0.05) / 0.05;
        let text = if on_white >= on_black { "#ffffff" } else { "#000000" };
        format!("main {{ --brand: #{red:02x}{green:02x}{blue:02x}; --on-brand: {text}; }}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_on_a_color_has_more_contrast_than_the_other_choice() {
        for (color, text) in
            [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#7c3aed", "#ffffff"), ("#facc15", "#000000")]
        {
            let style = Color::parse(color).expect("a colour").style();
            assert!(style.contains(&format!("--brand: {color}; --on-brand: {text};")), "{style}");
        }
        for wrong in ["", "red", "#fff", "#12345", "#1234567", "#+12345", "#12 456", "#ääa", "#000000;}"] {
            assert_eq!(Color::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_logo_is_an_image_by_its_signature() {
        let logo = |image: &[u8]| Branding::new().with_logo(image).map(|branding| branding.logo.expect("a logo"));
        assert_eq!(&*logo(b"\x89PNG\r\n\x1a\n").expect("PNG"), "data:image/png;base64,iVBORw0KGgo=");
        assert!(logo(b"\n<svg xmlns='http://www.w3.org/2000/svg'/>").expect("SVG").starts_with("data:image/svg+xml;"));
        assert!(logo(b"RIFF\x04\0\0\0WEBP").expect("WebP").starts_with("data:image/webp;"));
        assert_eq!(logo(b"<html>"), Err(InvalidBranding::LogoType));
        assert_eq!(logo(&[b'<'; MAX_LOGO + 1]), Err(InvalidBranding::LogoSize));
    }
}
