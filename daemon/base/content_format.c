/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of CoAP content formats; see content_format.h. */
#include "base/content_format.h"

#include <ctype.h>
#include <strings.h>

#include "base/util.h"

struct format {
        unsigned short number;
        const char *name;
};

/* In the order of the registry. A second row with a number is another name of it and is never written. */
static const struct format formats[] = {
        { 0, "text/plain;charset=utf-8" },
        { 0, "text/plain" },
        { 16, "application/cose;cose-type=\"cose-encrypt0\"" },
        { 17, "application/cose;cose-type=\"cose-mac0\"" },
        { 18, "application/cose;cose-type=\"cose-sign1\"" },
        { 19, "application/ace+cbor" },
        { 21, "image/gif" },
        { 22, "image/jpeg" },
        { 23, "image/png" },
        { 40, "application/link-format" },
        { 41, "application/xml" },
        { 42, "application/octet-stream" },
        { 47, "application/exi" },
        { 50, "application/json" },
        { 51, "application/json-patch+json" },
        { 52, "application/merge-patch+json" },
        { 60, "application/cbor" },
        { 61, "application/cwt" },
        { 62, "application/multipart-core" },
        { 63, "application/cbor-seq" },
        { 64, "application/edhoc+cbor-seq" },
        { 65, "application/cid-edhoc+cbor-seq" },
        { 96, "application/cose;cose-type=\"cose-encrypt\"" },
        { 97, "application/cose;cose-type=\"cose-mac\"" },
        { 98, "application/cose;cose-type=\"cose-sign\"" },
        { 101, "application/cose-key" },
        { 102, "application/cose-key-set" },
        { 110, "application/senml+json" },
        { 111, "application/sensml+json" },
        { 112, "application/senml+cbor" },
        { 113, "application/sensml+cbor" },
        { 114, "application/senml-exi" },
        { 115, "application/sensml-exi" },
        { 140, "application/yang-data+cbor;id=sid" },
        { 256, "application/coap-group+json" },
        { 257, "application/concise-problem-details+cbor" },
        { 258, "application/swid+cbor" },
        { 259, "application/pkixcmp" },
        { 260, "application/yang-sid+json" },
        { 261, "application/ace-groupcomm+cbor" },
        { 262, "application/ace-trl+cbor" },
        { 263, "application/eat+cwt" },
        { 264, "application/eat+jwt" },
        { 265, "application/eat-bun+cbor" },
        { 266, "application/eat-bun+json" },
        { 267, "application/eat-ucs+cbor" },
        { 268, "application/eat-ucs+json" },
        { 269, "application/coap-eap" },
        { 271, "application/dots+cbor" },
        { 272, "application/missing-blocks+cbor-seq" },
        { 280, "application/pkcs7-mime;smime-type=server-generated-key" },
        { 281, "application/pkcs7-mime;smime-type=certs-only" },
        { 284, "application/pkcs8" },
        { 285, "application/csrattrs" },
        { 286, "application/pkcs10" },
        { 287, "application/pkix-cert" },
        { 290, "application/aif+cbor" },
        { 291, "application/aif+json" },
        { 310, "application/senml+xml" },
        { 311, "application/sensml+xml" },
        { 320, "application/senml-etch+json" },
        { 322, "application/senml-etch+cbor" },
        { 340, "application/yang-data+cbor" },
        { 341, "application/yang-data+cbor;id=name" },
        { 432, "application/td+json" },
        { 433, "application/tm+json" },
        { 434, "application/sdf+json" },
        { 553, "application/dns-message" },
        { 601, "application/uccs+cbor" },
        { 10000, "application/vnd.ocf+cbor" },
        { 10001, "application/oscore" },
        { 10002, "application/javascript" },
        { 10002, "text/javascript" }, /* RFC 9239 made it the only name; the registry has the older one */
        { 10003, "application/eat+cwt;eat_profile=\"tag:psacertified.org,2023:psa#tfm\"" },
        { 10004, "application/eat+cwt;eat_profile=\"tag:psacertified.org,2019:psa#legacy\"" },
        { 10005, "application/eat+cwt;eat_profile=2.16.840.1.113741.1.16.1" },
        { 10570, "application/toc+cbor" },
        { 10571, "application/ce+cbor" },
        { 11542, "application/vnd.oma.lwm2m+tlv" },
        { 11543, "application/vnd.oma.lwm2m+json" },
        { 11544, "application/vnd.oma.lwm2m+cbor" },
        { 20000, "text/css" },
        { 30000, "image/svg+xml" },
};

static const struct format extensions[] = {
        { 0, "txt" },      { 0, "text" },      { 0, "log" },         { 21, "gif" },     { 22, "jpg" },
        { 22, "jpeg" },    { 23, "png" },      { 40, "wlnk" },       { 41, "xml" },     { 42, "bin" },
        { 47, "exi" },     { 50, "json" },     { 51, "json-patch" }, { 60, "cbor" },    { 61, "cwt" },
        { 63, "cborseq" }, { 110, "senml" },   { 111, "sensml" },    { 112, "senmlc" }, { 113, "sensmlc" },
        { 114, "senmle" }, { 115, "sensmle" }, { 284, "p8" },        { 286, "p10" },    { 287, "cer" },
        { 310, "senmlx" }, { 311, "sensmlx" }, { 432, "jsontd" },    { 433, "jsontm" }, { 10002, "js" },
        { 20000, "css" },  { 30000, "svg" },
};

static bool blank_or_quote(uint8_t c)
{
        return c == ' ' || c == '\t' || c == '"';
}

/* Whether `name` is `registered` but for case, blanks and quotes. */
static bool same_type(struct span name, const char *registered)
{
        size_t i = 0;

        for (;; registered++) {
                while (i < name.n && blank_or_quote(name.p[i]))
                        i++;
                if (*registered == '"')
                        continue;
                if (*registered == '\0' || i == name.n)
                        return *registered == '\0' && i == name.n;
                if (tolower(name.p[i++]) != tolower((unsigned char)*registered))
                        return false;
        }
}

/* RFC 8259 and others register no charset, but clients and operators write one: utf-8 is what is meant. */
static struct span without_charset(struct span name)
{
        for (size_t i = 0; i < name.n; i++)
                if (name.p[i] == ';' && same_type(span_skip(name, i), ";charset=utf-8"))
                        return span_of(name.p, i);
        return name;
}

static int parse_number(struct span name)
{
        int number = 0;

        if (name.n == 0 || name.n > 5)
                return -1;
        for (size_t i = 0; i < name.n; i++) {
                if (name.p[i] < '0' || name.p[i] > '9')
                        return -1;
                number = number * 10 + (name.p[i] - '0');
        }
        return number <= CONTENT_FORMAT_MAX ? number : -1;
}

int content_format_by_name(struct span name)
{
        int number = parse_number(name);

        if (number >= 0)
                return number;
        name = without_charset(name);
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
                if (same_type(name, formats[i].name))
                        return formats[i].number;
        return -1;
}

const char *content_format_check(const char *value)
{
        return content_format_by_name(span_of_string(value)) >= 0 ? NULL
                                                                  : "a content format such as \"text/plain\"";
}

const char *content_format_name(unsigned number)
{
        for (size_t i = 0; i < ARRAY_LEN(formats); i++)
                if (formats[i].number == number)
                        return formats[i].name;
        return NULL;
}

int content_format_by_extension(const char *file_name)
{
        const char *dot = file_name ? strrchr(file_name, '.') : NULL;

        if (!dot)
                return -1;
        for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
                if (strcasecmp(dot + 1, extensions[i].name) == 0)
                        return extensions[i].number;
        return -1;
}
