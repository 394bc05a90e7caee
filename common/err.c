/* Texts and classes come from err.def, so that a code can't exist without either. */
#include "common/err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum err_class class;
    const char *text;
} errors[] = {
#define ERR(name, class, text) [ERR_ORDINAL_##name] = {ERR_CLASS_##class, text},
#include "common/err.def"
#undef ERR
};

static bool known(int err)
{
    return err < 0 && err >= -(int)ERR_ORDINAL_COUNT;
}

const char *err_string(int err)
{
    if (err >= 0)
        return "success";
    return known(err) ? errors[-1 - err].text : "unknown error";
}

/* A code that err.def does not have is a defect of ours: no smaller reaction is known to be safe.
 */
enum err_class err_class(int err)
{
    return known(err) ? errors[-1 - err].class : ERR_CLASS_PROCESS;
}

void err_format(struct err_text *et, const char *fmt, ...)
{
    if (et == NULL)
        return;

    /* Not straight into et: callers put more context around a text they have in it already. */
    struct err_text made;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(made.text, sizeof(made.text), fmt, args);
    va_end(args);
    if (len < 0) /* a wide character that can't be encoded */
        snprintf(made.text, sizeof(made.text), "text that can't be shown");
    memcpy(et->text, made.text, strlen(made.text) + 1);
}
