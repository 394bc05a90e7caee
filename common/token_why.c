/* token_why - names of what can be wrong with a token. */
#include "common/token.h"

static const struct why {
    enum token_kind kind;
    const char *text;
} whys[] = {
#define TOKEN_KIND(name, text)
#define TOKEN_WHY(name, kind, text) [TOKEN_WHY_##name] = {TOKEN_KIND_##kind, text},
#include "common/token_why.def"
#undef TOKEN_KIND
#undef TOKEN_WHY
};

const char *token_why_text(enum token_why why)
{
    return whys[why].text;
}

enum token_kind token_why_kind(enum token_why why)
{
    return whys[why].kind;
}
