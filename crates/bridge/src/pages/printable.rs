//! Text of strangers, fit to be shown.

/// `text` of a stranger, in one line of at most `max` characters, without what nobody sees, or what makes a text look like another one:
/// control characters, and those that set the direction of writing or have no width.
///
/// It is not escaped: the templates do that.
pub(super) fn sanitize_for_display(text: &str, max: usize) -> String {
    let seen = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_unseen(*c));
    let seen: String = seen.collect();
    let mut words = seen.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(max) {
        words.truncate(end);
        words.push('…');
    }
    words
}

/// The categories Cc and Cf of Unicode, as far as they matter, and fillers that are blank.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_not_shown() {
        assert_eq!(sanitize_for_display("Good\u{202e}evil\u{200b} App\u{0}\u{7}", 80), "Goodevil App");
        assert_eq!(sanitize_for_display("\u{2066}\u{feff}\u{e0041}", 80), "");
        assert_eq!(sanitize_for_display("Café – 東京 👍", 80), "Café – 東京 👍");
    }

    #[test]
    fn it_is_one_line_and_not_long() {
        assert_eq!(sanitize_for_display("  a\n\n\tb\u{2028}c\u{a0}\u{a0}d ", 80), "a b c d");
        assert_eq!(sanitize_for_display("東京大学", 2), "東京…");
        assert_eq!(sanitize_for_display("ab", 2), "ab");
    }
}
