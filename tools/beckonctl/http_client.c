/* http_client - see the header. */
#include "http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S 30L
#define BODY_MAX (64u * 1024 * 1024)

struct body {
    char *data;
    size_t len;
};

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct body *body = arg;
    size_t len = size * count;
    char *grown = body->len + len > BODY_MAX ? NULL : realloc(body->data, body->len + len + 1);

    if (!grown)
        return 0; /* curl reports it */
    memcpy(grown + body->len, data, len);
    body->data = grown;
    body->len += len;
    grown[body->len] = '\0';
    return len;
}

int http_get(const char *url, const char *token, const char *ca, char **ret_body, long *ret_status,
             struct err_text *et)
{
    char why[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = NULL;
    struct body body = {0};
    char *authorization = NULL;
    CURLcode r = CURLE_OUT_OF_MEMORY;

    if (curl && asprintf(&authorization, "Authorization: Bearer %s", token) >= 0) {
        headers = curl_slist_append(NULL, authorization);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        if (ca)
            curl_easy_setopt(curl, CURLOPT_CAINFO, ca);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
        r = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(authorization);
    if (r != CURLE_OK) {
        free(body.data);
        return err_set(et, ERR_SYSTEM, "%s: %s", url, why[0] ? why : curl_easy_strerror(r));
    }
    *ret_body = body.data ? body.data : strdup("");
    return *ret_body ? 0 : err_set(et, ERR_NO_MEMORY, "out of memory");
}
