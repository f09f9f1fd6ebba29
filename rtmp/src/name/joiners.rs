//! Characters of a name that cannot be seen by themselves and are allowed where they change what
//! is seen: joiners in Persian, Hindi and their kin, and what makes one emoji of several. Anywhere
//! else a name with one would look like the name without it.
//!
//! RFC 5892 Appendix A (ZERO WIDTH NON-JOINER, ZERO WIDTH JOINER); Unicode UTS #51 for emoji.

const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';
const EMOJI_FORM: char = '\u{FE0F}';
const KEYCAP: char = '\u{20E3}';

/// Whether such a character stands where it changes what is seen, between `before` and `after`.
pub(super) fn is_in_place(found: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else {
        return false;
    };
    let after_is = |is_it: fn(char) -> bool| after.is_some_and(is_it);
    match found {
        NON_JOINER => {
            is_virama(before) && after_is(is_brahmic) || joins_next(before) && after_is(is_arabic)
        }
        JOINER => {
            is_virama(before)
                || is_brahmic(before) && after_is(is_virama)
                || (is_emoji(before) || before == EMOJI_FORM) && after_is(is_emoji)
        }
        EMOJI_FORM => is_emoji(before) || is_keycap_base(before) && after == Some(KEYCAP),
        // The name of a region behind a black flag, spelled and ended.
        '\u{E0020}'..='\u{E007F}' => matches!(before, '\u{1F3F4}' | '\u{E0020}'..='\u{E007E}'),
        _ => false,
    }
}

fn is_keycap_base(found: char) -> bool {
    found.is_ascii_digit() || found == '*'
}

fn is_arabic(found: char) -> bool {
    matches!(found, '\u{620}'..='\u{6FF}' | '\u{750}'..='\u{77F}' | '\u{8A0}'..='\u{8FF}')
        && found.is_alphabetic()
}

/// Whether a letter is joined to the one behind it: Joining_Type D of Unicode, for the letters of
/// Arabic, Persian and Urdu. The others end a joined run anyhow. Of the signs above and below
/// letters it is not known.
fn joins_next(found: char) -> bool {
    let is_right_joining = matches!(
        found,
        '\u{621}'..='\u{625}' | '\u{627}' | '\u{629}' | '\u{62F}'..='\u{632}' | '\u{648}'
            | '\u{671}'..='\u{673}' | '\u{675}'..='\u{677}' | '\u{688}'..='\u{699}'
            | '\u{6C0}' | '\u{6C3}'..='\u{6CB}' | '\u{6CD}' | '\u{6CF}' | '\u{6D2}'..='\u{6D5}'
            | '\u{6EE}' | '\u{6EF}'
    );
    is_arabic(found) && !is_right_joining
}

/// Scripts of India and South East Asia, whose letters are joined by a virama.
fn is_brahmic(found: char) -> bool {
    matches!(
        found,
        '\u{900}'..='\u{DFF}' | '\u{F00}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
            | '\u{1A20}'..='\u{1AAF}' | '\u{1B00}'..='\u{1BFF}' | '\u{A8E0}'..='\u{A8FF}'
            | '\u{A980}'..='\u{A9DF}' | '\u{AAE0}'..='\u{AAFF}' | '\u{ABC0}'..='\u{ABFF}'
    )
}

/// Canonical_Combining_Class Virama of Unicode, in the scripts above.
fn is_virama(found: char) -> bool {
    matches!(
        found,
        '\u{94D}'
            | '\u{9CD}'
            | '\u{A4D}'
            | '\u{ACD}'
            | '\u{B4D}'
            | '\u{BCD}'
            | '\u{C4D}'
            | '\u{CCD}'
            | '\u{D3B}'
            | '\u{D3C}'
            | '\u{D4D}'
            | '\u{DCA}'
            | '\u{F84}'
            | '\u{1039}'
            | '\u{103A}'
            | '\u{17D2}'
            | '\u{1A60}'
            | '\u{1B44}'
            | '\u{1BAA}'
            | '\u{1BAB}'
            | '\u{1BF2}'
            | '\u{1BF3}'
            | '\u{A9C0}'
            | '\u{AAF6}'
            | '\u{ABED}'
    )
}

/// Pictures, their skin tones included; arrows and signs that have an emoji form.
fn is_emoji(found: char) -> bool {
    matches!(
        found,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
            | '\u{2190}'..='\u{21FF}' | '\u{2300}'..='\u{23FF}' | '\u{24C2}'
            | '\u{25A0}'..='\u{27BF}' | '\u{2934}' | '\u{2935}' | '\u{2B00}'..='\u{2BFF}'
            | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}'
    )
}
