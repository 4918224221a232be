/* idna_bidi.c: why a label with right-to-left characters is refused (RFC 5893, section 2). libidn2
 * says that it is, Python's idna also by which rule. */
#include "shared/utf8.h"
#include "worker/validate/idna_internal.h"
#include "worker/validate/unicode.h"

#include <unictype.h>

#define BIT(class) (1u << (class))

static const unsigned allowed_ltr = BIT(UC_BIDI_L) | BIT(UC_BIDI_EN) | BIT(UC_BIDI_ES) |
                                    BIT(UC_BIDI_CS) | BIT(UC_BIDI_ET) | BIT(UC_BIDI_ON) |
                                    BIT(UC_BIDI_BN) | BIT(UC_BIDI_NSM);
static const unsigned allowed_rtl =
    BIT(UC_BIDI_R) | BIT(UC_BIDI_AL) | BIT(UC_BIDI_AN) | BIT(UC_BIDI_EN) | BIT(UC_BIDI_ES) |
    BIT(UC_BIDI_CS) | BIT(UC_BIDI_ET) | BIT(UC_BIDI_ON) | BIT(UC_BIDI_BN) | BIT(UC_BIDI_NSM);
static const unsigned ends_ltr = BIT(UC_BIDI_L) | BIT(UC_BIDI_EN);
static const unsigned ends_rtl =
    BIT(UC_BIDI_R) | BIT(UC_BIDI_AL) | BIT(UC_BIDI_EN) | BIT(UC_BIDI_AN);
static const unsigned numbers = BIT(UC_BIDI_EN) | BIT(UC_BIDI_AN);

static unsigned next_class(struct slice label, size_t *at)
{
    return BIT((unsigned)uc_bidi_class(utf8_next(label, at)));
}

bool idna_append_bidi_reason(struct buf *b, struct slice label)
{
    size_t at = 0;
    unsigned first = next_class(label, &at), number = 0;
    bool rtl = first & (BIT(UC_BIDI_R) | BIT(UC_BIDI_AL)), ends_well = false;
    if (!rtl && first != BIT(UC_BIDI_L)) {
        buf_append_slice(b, SLICE("First codepoint in label "));
        unicode_append_repr(b, label);
        buf_append_slice(b, SLICE(" must be directionality L, R or AL"));
        return true;
    }
    at = 0;
    for (unsigned position = 1; at < label.len; position++) {
        unsigned class = next_class(label, &at);
        if (!(class & (rtl ? allowed_rtl : allowed_ltr))) {
            buf_printf(b, "Invalid direction for codepoint at position %u in a %s label", position,
                       rtl ? "right-to-left" : "left-to-right");
            return true;
        }
        if (rtl && (class & numbers) && number && number != class) {
            buf_append_slice(b, SLICE("Can not mix numeral types in a right-to-left label"));
            return true;
        }
        number = class & numbers ? class : number;
        if (class != BIT(UC_BIDI_NSM))
            ends_well = class & (rtl ? ends_rtl : ends_ltr);
    }
    if (!ends_well)
        buf_append_slice(b, SLICE("Label ends with illegal codepoint directionality"));
    return !ends_well;
}
