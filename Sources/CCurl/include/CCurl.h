#ifndef CCURL_H
#define CCURL_H

#include <curl/curl.h>

// libcurl, loaded when it is first needed: a program on a machine without it does everything but read from a network.
// The functions are those of libcurl with `ccurl_` for `curl_`. Swift can't call functions of variable arguments, such
// as curl_easy_setopt; there is one for each type of value.

/// Loads libcurl. Zero if the machine has none.
int ccurl_load(void);

CURL *ccurl_easy_init(void);
void ccurl_easy_cleanup(CURL *handle);
CURLcode ccurl_easy_perform(CURL *handle);
const char *ccurl_easy_strerror(CURLcode code);

CURLcode ccurl_set_string(CURL *handle, CURLoption option, const char *value);
CURLcode ccurl_set_long(CURL *handle, CURLoption option, long value);
CURLcode ccurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value);
CURLcode ccurl_set_pointer(CURL *handle, CURLoption option, void *value);

typedef size_t (*ccurl_sink)(char *bytes, size_t size, size_t count, void *context);
CURLcode ccurl_set_sink(CURL *handle, CURLoption option, ccurl_sink sink);

struct curl_slist *ccurl_slist_append(struct curl_slist *list, const char *text);
void ccurl_slist_free_all(struct curl_slist *list);

#endif
