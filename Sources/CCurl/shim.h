#pragma once
#include <curl/curl.h>
#include <sys/socket.h>

/* libcurl's variadic calls, one function a kind of argument. */

static inline CURLcode berth_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode berth_curl_set_string(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode berth_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode berth_curl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}

typedef size_t (*berth_curl_data)(char *data, size_t size, size_t count, void *context);

static inline CURLcode berth_curl_set_data(CURL *handle, CURLoption option, berth_curl_data call) {
    return curl_easy_setopt(handle, option, call);
}

typedef int (*berth_curl_progress)(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up);

static inline CURLcode berth_curl_set_progress(CURL *handle, berth_curl_progress call) {
    return curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, call);
}

static inline long berth_curl_get_long(CURL *handle, CURLINFO info) {
    long value = 0;
    return curl_easy_getinfo(handle, info, &value) == CURLE_OK ? value : 0;
}

/* libcurl opens sockets that a program started meanwhile would inherit. */
static inline curl_socket_t berth_curl_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)context;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static inline CURLcode berth_curl_close_on_exec(CURL *handle) {
    return curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, berth_curl_open_socket);
}
