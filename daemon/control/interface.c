/* SPDX-License-Identifier: BSD-2-Clause */
/* The interface io.coapd.Control, as `varlinkctl introspect` shows it. */
#include "control/internal.h"

/* clang-format off: the tables are lists of macro calls without commas that it could align. */
static SD_VARLINK_DEFINE_STRUCT_TYPE(Store, SD_VARLINK_FIELD_COMMENT("persist.engine of the configuration"),
                                     SD_VARLINK_DEFINE_FIELD(engine, SD_VARLINK_STRING, 0),
                                     SD_VARLINK_FIELD_COMMENT("Whether the last change of each file went in"),
                                     SD_VARLINK_DEFINE_FIELD(writable, SD_VARLINK_BOOL, 0),
                                     SD_VARLINK_FIELD_COMMENT("What its files take on the disk"),
                                     SD_VARLINK_DEFINE_FIELD(bytes, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(
        Endpoint, SD_VARLINK_FIELD_COMMENT("udp, dtls, tcp, tls, ws or wss"),
        SD_VARLINK_DEFINE_FIELD(transport, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(address, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(groups, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT(
                "Bytes that wait to be read; of a stream: connections that wait to be accepted"),
        SD_VARLINK_DEFINE_FIELD(waiting, SD_VARLINK_INT, 0),
        SD_VARLINK_FIELD_COMMENT("Datagrams that the kernel had no room for"),
        SD_VARLINK_DEFINE_FIELD(dropped, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(
        Session, SD_VARLINK_FIELD_COMMENT("udp, dtls, tcp, tls, ws or wss"),
        SD_VARLINK_DEFINE_FIELD(transport, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(peer, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(local, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("What the peer has proved, as the rules of `access` write it"),
        SD_VARLINK_DEFINE_FIELD(identity, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(observations, SD_VARLINK_INT, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(Observer, SD_VARLINK_DEFINE_FIELD(resource, SD_VARLINK_STRING, 0),
                                     SD_VARLINK_DEFINE_FIELD(transport, SD_VARLINK_STRING, 0),
                                     SD_VARLINK_DEFINE_FIELD(peer, SD_VARLINK_STRING, 0),
                                     SD_VARLINK_DEFINE_FIELD(local, SD_VARLINK_STRING, 0),
                                     SD_VARLINK_DEFINE_FIELD(identity, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_STRUCT_TYPE(
        Resource, SD_VARLINK_DEFINE_FIELD(path, SD_VARLINK_STRING, 0),
        SD_VARLINK_FIELD_COMMENT("The virtual hosts that it is on; absent where it is on all"),
        SD_VARLINK_DEFINE_FIELD(hosts, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_FIELD(kind, SD_VARLINK_STRING, 0),
        SD_VARLINK_DEFINE_FIELD(title, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_FIELD(observers, SD_VARLINK_INT, 0),
        SD_VARLINK_DEFINE_FIELD(size, SD_VARLINK_INT, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_FIELD(content_format, SD_VARLINK_INT, SD_VARLINK_NULLABLE),
        SD_VARLINK_FIELD_COMMENT(
                "With bodies, of a dynamic resource: the options of the request that created it"),
        SD_VARLINK_DEFINE_FIELD(attributes, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_FIELD_COMMENT(
                "With bodies, of a dynamic resource; absent where it is too large for one message"),
        SD_VARLINK_DEFINE_FIELD(body_hex, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(Status, SD_VARLINK_DEFINE_OUTPUT(version, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_OUTPUT(pid, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(config, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("Seconds"),
                                SD_VARLINK_DEFINE_OUTPUT(uptime, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(endpoints, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(sessions, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(observers, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(resources_configured, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(resources_dynamic, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT(dynamic_bytes, SD_VARLINK_INT, 0),
                                SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(store, Store, 0),
                                SD_VARLINK_FIELD_COMMENT("Since the start, by name"),
                                SD_VARLINK_DEFINE_OUTPUT(counters, SD_VARLINK_INT, SD_VARLINK_MAP));

static SD_VARLINK_DEFINE_METHOD(ListEndpoints,
                                SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(endpoints, Endpoint, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD(ListSessions, SD_VARLINK_FIELD_COMMENT("`next` of the page before"),
                                SD_VARLINK_DEFINE_INPUT(after, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
                                SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(sessions, Session, SD_VARLINK_ARRAY),
                                SD_VARLINK_FIELD_COMMENT("Absent on the last page"),
                                SD_VARLINK_DEFINE_OUTPUT(next, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(ListObservers, SD_VARLINK_FIELD_COMMENT("`next` of the page before"),
                                SD_VARLINK_DEFINE_INPUT(after, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
                                SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(observers, Observer, SD_VARLINK_ARRAY),
                                SD_VARLINK_FIELD_COMMENT("Absent on the last page"),
                                SD_VARLINK_DEFINE_OUTPUT(next, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(
        ListResources, SD_VARLINK_FIELD_COMMENT("`next` of the page before"),
        SD_VARLINK_DEFINE_INPUT(after, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
        SD_VARLINK_FIELD_COMMENT("With the bodies of dynamic resources, and only those"),
        SD_VARLINK_DEFINE_INPUT(bodies, SD_VARLINK_BOOL, SD_VARLINK_NULLABLE),
        SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(resources, Resource, SD_VARLINK_ARRAY),
        SD_VARLINK_FIELD_COMMENT("Absent on the last page"),
        SD_VARLINK_DEFINE_OUTPUT(next, SD_VARLINK_STRING, SD_VARLINK_NULLABLE));

static SD_VARLINK_DEFINE_METHOD(Notify, SD_VARLINK_DEFINE_INPUT(path, SD_VARLINK_STRING, 0),
                                SD_VARLINK_FIELD_COMMENT("Whether there was anybody to tell"),
                                SD_VARLINK_DEFINE_OUTPUT(observed, SD_VARLINK_BOOL, 0));

static SD_VARLINK_DEFINE_METHOD(
        Reload, SD_VARLINK_FIELD_COMMENT("The keys that changed, and what waits for a restart"),
        SD_VARLINK_DEFINE_OUTPUT(changes, SD_VARLINK_STRING, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_METHOD(Import, SD_VARLINK_DEFINE_INPUT(path, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_INPUT(content_format, SD_VARLINK_INT, SD_VARLINK_NULLABLE),
                                SD_VARLINK_DEFINE_INPUT(attributes, SD_VARLINK_STRING, SD_VARLINK_NULLABLE),
                                SD_VARLINK_DEFINE_INPUT(body_hex, SD_VARLINK_STRING, 0),
                                SD_VARLINK_DEFINE_OUTPUT(created, SD_VARLINK_BOOL, 0));

static SD_VARLINK_DEFINE_ERROR(NotReloaded,
                               SD_VARLINK_FIELD_COMMENT("FILE:LINE: KEY: what is wrong, what is expected"),
                               SD_VARLINK_DEFINE_FIELD(errors, SD_VARLINK_STRING, SD_VARLINK_ARRAY));

static SD_VARLINK_DEFINE_ERROR(NoSuchResource, SD_VARLINK_DEFINE_FIELD(path, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_ERROR(NotImported, SD_VARLINK_DEFINE_FIELD(path, SD_VARLINK_STRING, 0),
                               SD_VARLINK_DEFINE_FIELD(reason, SD_VARLINK_STRING, 0));

static SD_VARLINK_DEFINE_ERROR(AnswersNotRead);

SD_VARLINK_DEFINE_INTERFACE(
        control, CONTROL_INTERFACE,
        SD_VARLINK_INTERFACE_COMMENT("A running coapd(8), as coapctl(8) shows it and tells it what to do."),
        &vl_type_Store, &vl_type_Endpoint, &vl_type_Session, &vl_type_Observer, &vl_type_Resource,
        SD_VARLINK_SYMBOL_COMMENT("What there is, and what has happened since the start"), &vl_method_Status,
        &vl_method_ListEndpoints,
        SD_VARLINK_SYMBOL_COMMENT("A page of the clients' sessions, the newest first"),
        &vl_method_ListSessions, SD_VARLINK_SYMBOL_COMMENT("A page of the observers, by resource"),
        &vl_method_ListObservers,
        SD_VARLINK_SYMBOL_COMMENT("A page of the resources, in the order in which they came to be"),
        &vl_method_ListResources,
        SD_VARLINK_SYMBOL_COMMENT("Sends the present state to the observers of a resource"),
        &vl_method_Notify, SD_VARLINK_SYMBOL_COMMENT("Reads the configuration again, all or nothing"),
        &vl_method_Reload, SD_VARLINK_SYMBOL_COMMENT("Makes a dynamic resource, or replaces its content"),
        &vl_method_Import, &vl_error_NotReloaded, &vl_error_NoSuchResource, &vl_error_NotImported,
        SD_VARLINK_SYMBOL_COMMENT("Answers to earlier calls wait to be read"), &vl_error_AnswersNotRead);
/* clang-format on */
