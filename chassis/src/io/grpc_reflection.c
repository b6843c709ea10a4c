// SPDX-License-Identifier: Apache-2.0
// Server reflection, v1 and v1alpha (github.com/grpc/grpc, doc/server-reflection.md): tells grpcurl and the like what
// this server serves, from the descriptors embedded at build time. The two versions are equal on the wire, so one set
// of messages serves both. Served to whoever `admit` of the server's options lets in. It must never list a service that
// this server does not have.
#include "grpc_server.h"

#include "grpc/reflection/v1/reflection.pb-c.h"

#include <stdlib.h>

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

#define FILES_MAX 64 /* in one answer */

static const struct ch_proto_file *file_by_name(const char *name)
{
    for (const struct ch_proto_file *file = ch_proto_files; file->name; file++)
        if (strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

static const struct ch_proto_file *file_by_symbol(const char *symbol)
{
    for (const struct ch_proto_file *file = ch_proto_files; file->name; file++)
        for (const char *const *s = file->symbols; *s; s++)
            if (strcmp(*s, symbol) == 0)
                return file;
    return NULL;
}

static enum ch_err answer_error(struct ch_call *call, reflection_response *response, int code, const char *text)
{
    Grpc__Reflection__V1__ErrorResponse *error = ch_arena_alloc(call->ctx.arena, sizeof(*error));

    if (!error)
        return CH_ERR_NO_MEMORY;
    grpc__reflection__v1__error_response__init(error);
    error->error_code = code;
    error->error_message = (char *)text;
    response->error_response = error;
    response->message_response_case = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    return CH_OK;
}

// The file and, once each, all it imports.
static size_t collect(const struct ch_proto_file *file, const struct ch_proto_file **files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (files[i] == file)
            return count;
    if (!file || count == FILES_MAX)
        return count;
    files[count++] = file;
    for (const char *const *name = file->imports; *name; name++)
        count = collect(file_by_name(*name), files, count);
    return count;
}

static enum ch_err answer_file(struct ch_call *call, reflection_response *response, const struct ch_proto_file *file)
{
    const struct ch_proto_file *files[FILES_MAX];
    size_t count = file ? collect(file, files, 0) : 0;
    Grpc__Reflection__V1__FileDescriptorResponse *answer = ch_arena_alloc(call->ctx.arena, sizeof(*answer));
    ProtobufCBinaryData *data = ch_arena_array(call->ctx.arena, count + 1, sizeof(*data));

    if (!file)
        return answer_error(call, response, CH_GRPC_NOT_FOUND, "not found");
    if (!answer || !data)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        data[i] = (ProtobufCBinaryData){.len = files[i]->len, .data = (uint8_t *)files[i]->bytes};
    grpc__reflection__v1__file_descriptor_response__init(answer);
    answer->n_file_descriptor_proto = count;
    answer->file_descriptor_proto = data;
    response->file_descriptor_response = answer;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    return CH_OK;
}

// No file of ours declares an extension: a known type has none.
static enum ch_err answer_extension_numbers(struct ch_call *call, reflection_response *response, const char *type)
{
    Grpc__Reflection__V1__ExtensionNumberResponse *answer = ch_arena_alloc(call->ctx.arena, sizeof(*answer));

    if (!file_by_symbol(type))
        return answer_error(call, response, CH_GRPC_NOT_FOUND, "not found");
    if (!answer)
        return CH_ERR_NO_MEMORY;
    grpc__reflection__v1__extension_number_response__init(answer);
    answer->base_type_name = (char *)type;
    response->all_extension_numbers_response = answer;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    return CH_OK;
}

static int compare_services(const void *a, const void *b)
{
    const Grpc__Reflection__V1__ServiceResponse *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static bool is_listed(Grpc__Reflection__V1__ServiceResponse **services, size_t count, struct ch_str name)
{
    for (size_t i = 0; i < count; i++)
        if (ch_str_is(name, services[i]->name))
            return true;
    return false;
}

static enum ch_err answer_services(struct ch_call *call, reflection_response *response)
{
    const struct ch_grpc_server *server = call->stream->server;
    struct ch_arena *arena = call->ctx.arena;
    Grpc__Reflection__V1__ListServiceResponse *answer = ch_arena_alloc(arena, sizeof(*answer));
    Grpc__Reflection__V1__ServiceResponse **services =
        ch_arena_array(arena, server->method_count, sizeof(struct service *));
    size_t count = 0;

    for (size_t i = 0; services && i < server->method_count; i++) {
        struct ch_str name = {server->methods[i].path.data + 1, 0};

        name.len = strcspn(name.data, "/");
        if (is_listed(services, count, name))
            continue;
        services[count] = ch_arena_alloc(arena, sizeof(**services));
        if (!services[count])
            return CH_ERR_NO_MEMORY;
        grpc__reflection__v1__service_response__init(services[count]);
        services[count]->name = ch_arena_strdup(arena, name);
        if (!services[count]->name)
            return CH_ERR_NO_MEMORY;
        count++;
    }
    if (!answer || !services)
        return CH_ERR_NO_MEMORY;
    qsort(services, count, sizeof(services[0]), compare_services);
    grpc__reflection__v1__list_service_response__init(answer);
    answer->n_service = count;
    answer->service = services;
    response->list_services_response = answer;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    return CH_OK;
}

static enum ch_err answer(struct ch_call *call, const reflection_request *request, reflection_response *response)
{
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        return answer_services(call, response);
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        return answer_file(call, response, file_by_name(request->file_by_filename));
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        return answer_file(call, response, file_by_symbol(request->file_containing_symbol));
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        return answer_file(call, response, NULL);
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        return answer_extension_numbers(call, response, request->all_extension_numbers_of_type);
    default:
        return answer_error(call, response, CH_GRPC_INVALID_ARGUMENT, "nothing was asked");
    }
}

static enum ch_err reflection_info(struct ch_call *call, const void *in, void *out)
{
    reflection_response *response = out;
    ProtobufCMessage *message;

    (void)in; // bidi: messages are read here
    for (;;) {
        enum ch_err err = grpc_call_next_wait(call, &message);

        if (err || !message)
            return err;
        grpc__reflection__v1__server_reflection_response__init(response);
        response->original_request = (reflection_request *)message;
        response->valid_host = response->original_request->host;
        err = answer(call, response->original_request, response);
        if (!err)
            err = ch_call_send_wait(call, &response->base);
        if (err)
            return err;
    }
}

const struct ch_rpc grpc_reflection_rpcs[] = {
    CH_RPC_STREAM("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", 0, reflection_info,
                  grpc__reflection__v1__server_reflection_request, grpc__reflection__v1__server_reflection_response),
    CH_RPC_STREAM("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", 0, reflection_info,
                  grpc__reflection__v1__server_reflection_request, grpc__reflection__v1__server_reflection_response),
    {0},
};
