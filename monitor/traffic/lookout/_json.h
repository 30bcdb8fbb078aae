/* Rewrites an OTLP request in JSON as protobuf, so that the scanner reads both.
 *
 * What is not written as requests usually are is not rewritten at all, whatever it is: Python reads it then, and says
 * what is wrong where something is. All that is read lies between `at` and `end`; what is written is never longer than
 * what was read. Include it behind the scanner's `Buffer`.
 */

#define DEPTH_MAX 24
#define DIGITS_MAX 20
#define NUMBER_MAX 64

enum kind { TEXT, HEX, FIXED64, FIXED32, COUNT, INTEGER, BOOLEAN, DOUBLE, MESSAGE, MESSAGES };

typedef struct Field {
    const char *name;
    uint8_t number;
    enum kind kind;
    const struct Field *fields; /* of a message */
} Field;

static const Field any_fields[7], pair_fields[3];

static const Field array_fields[] = {{"values", 1, MESSAGES, any_fields}, {0}};
static const Field pairs_fields[] = {{"values", 1, MESSAGES, pair_fields}, {0}};
static const Field any_fields[7] = {
    {"stringValue", 1, TEXT, 0},           {"boolValue", 2, BOOLEAN, 0},           {"intValue", 3, INTEGER, 0},
    {"doubleValue", 4, DOUBLE, 0},         {"arrayValue", 5, MESSAGE, array_fields},
    {"kvlistValue", 6, MESSAGE, pairs_fields}, {0},
};
static const Field pair_fields[3] = {{"key", 1, TEXT, 0}, {"value", 2, MESSAGE, any_fields}, {0}};
static const Field event_fields[] = {
    {"timeUnixNano", 1, FIXED64, 0}, {"name", 2, TEXT, 0}, {"attributes", 3, MESSAGES, pair_fields},
    {"droppedAttributesCount", 4, COUNT, 0}, {0},
};
static const Field link_fields[] = {
    {"traceId", 1, HEX, 0}, {"spanId", 2, HEX, 0}, {"traceState", 3, TEXT, 0},
    {"attributes", 4, MESSAGES, pair_fields}, {"droppedAttributesCount", 5, COUNT, 0}, {"flags", 6, FIXED32, 0}, {0},
};
static const Field status_fields[] = {{"message", 2, TEXT, 0}, {"code", 3, COUNT, 0}, {0}};
static const Field span_fields[] = {
    {"traceId", 1, HEX, 0}, {"spanId", 2, HEX, 0}, {"traceState", 3, TEXT, 0}, {"parentSpanId", 4, HEX, 0},
    {"name", 5, TEXT, 0}, {"kind", 6, COUNT, 0}, {"startTimeUnixNano", 7, FIXED64, 0},
    {"endTimeUnixNano", 8, FIXED64, 0}, {"attributes", 9, MESSAGES, pair_fields},
    {"droppedAttributesCount", 10, COUNT, 0}, {"events", 11, MESSAGES, event_fields},
    {"droppedEventsCount", 12, COUNT, 0}, {"links", 13, MESSAGES, link_fields}, {"droppedLinksCount", 14, COUNT, 0},
    {"status", 15, MESSAGE, status_fields}, {"flags", 16, FIXED32, 0}, {0},
};
static const Field scope_fields[] = {
    {"name", 1, TEXT, 0}, {"version", 2, TEXT, 0}, {"attributes", 3, MESSAGES, pair_fields},
    {"droppedAttributesCount", 4, COUNT, 0}, {0},
};
static const Field scope_spans_fields[] = {
    {"scope", 1, MESSAGE, scope_fields}, {"spans", 2, MESSAGES, span_fields}, {"schemaUrl", 3, TEXT, 0}, {0},
};
static const Field resource_fields[] = {
    {"attributes", 1, MESSAGES, pair_fields}, {"droppedAttributesCount", 2, COUNT, 0}, {0},
};
static const Field resource_spans_fields[] = {
    {"resource", 1, MESSAGE, resource_fields}, {"scopeSpans", 2, MESSAGES, scope_spans_fields},
    {"schemaUrl", 3, TEXT, 0}, {0},
};
static const Field request_fields[] = {{"resourceSpans", 1, MESSAGES, resource_spans_fields}, {0}};

typedef struct {
    Bytes at, end;
    Buffer out;
} Json;

/* Everything below gives 1 when it is done, and 0 when it is unusual, or without memory, with the exception. */

static inline void skip_space(Json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\r' || *json->at == '\t'))
        json->at++;
}

static inline int takes(Json *json, uint8_t letter)
{
    skip_space(json);
    if (json->at >= json->end || *json->at != letter)
        return 0;
    json->at++;
    return 1;
}

static int put(Json *json, const void *bytes, Py_ssize_t size)
{
    uint8_t *room = room_in(&json->out, size);
    if (room == NULL)
        return 0;
    memcpy(room, bytes, (size_t)size);
    return 1;
}

static int put_varint(Json *json, uint64_t value)
{
    uint8_t bytes[10];
    int size = 0;
    do {
        bytes[size++] = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
    return put(json, bytes, size);
}

/* Write the size of what stands behind `begin`, where one byte was kept free for it. */
static int put_size(Json *json, Py_ssize_t begin)
{
    Py_ssize_t size = json->out.size - begin - 1;
    if (size < 128) {
        json->out.at[begin] = (uint8_t)size;
        return 1;
    }
    uint8_t bytes[10];
    int count = 0;
    for (uint64_t left = (uint64_t)size; left; left >>= 7)
        bytes[count++] = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
    if (room_in(&json->out, count - 1) == NULL)
        return 0;
    memmove(json->out.at + begin + count, json->out.at + begin + 1, (size_t)size);
    memcpy(json->out.at + begin, bytes, (size_t)count);
    return 1;
}

static int hex_of(uint8_t letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter |= 32;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static int unit_of(Json *json, uint32_t *unit)
{
    if (json->end - json->at < 4)
        return 0;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(*json->at++);
        if (digit < 0)
            return 0;
        *unit = *unit * 16 + (uint32_t)digit;
    }
    return 1;
}

/* What stands behind a backslash. */
static int put_escaped(Json *json)
{
    if (json->at >= json->end)
        return 0;
    uint8_t letter = *json->at++;
    const char *escapes = "\"\"\\\\//b\bf\fn\nr\rt\t";
    for (int i = 0; escapes[i]; i += 2)
        if ((uint8_t)escapes[i] == letter)
            return put(json, escapes + i + 1, 1);
    uint32_t unit, low;
    if (letter != 'u' || !unit_of(json, &unit))
        return 0;
    if (unit >= 0xD800 && unit < 0xE000) {
        if (unit >= 0xDC00 || json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u')
            return 0;
        json->at += 2;
        if (!unit_of(json, &low) || low < 0xDC00 || low >= 0xE000)
            return 0;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    uint8_t bytes[4];
    int size = unit < 0x80 ? 1 : unit < 0x800 ? 2 : unit < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = size - 1; i > 0; i--, unit >>= 6)
        bytes[i] = (uint8_t)(0x80 | (unit & 63));
    bytes[0] = (uint8_t)(leads[size] | unit);
    return put(json, bytes, size);
}

/* How many bytes the letter takes that begins here with a byte of 128 or more; 0 where it is none of UTF-8. */
static int letter_size(Bytes at, Bytes end)
{
    uint8_t first = at[0];
    int size = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
    if (size == 0 || end - at < size)
        return 0;
    for (int i = 1; i < size; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    int is_odd = (first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] >= 0xA0) ||
                 (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] >= 0x90);
    return is_odd ? 0 : size;
}

/* The letters of a text up to its end or the next backslash. */
static int put_plain(Json *json)
{
    Bytes begin = json->at;
    while (json->at < json->end) {
        uint8_t letter = *json->at;
        if (letter == '"' || letter == '\\')
            return put(json, begin, json->at - begin);
        int size = letter < 32 ? 0 : letter < 128 ? 1 : letter_size(json->at, json->end);
        if (size == 0)
            return 0;
        json->at += size;
    }
    return 0;
}

static int put_text(Json *json)
{
    if (!takes(json, '"'))
        return 0;
    for (;;) {
        if (!put_plain(json))
            return 0;
        if (*json->at++ == '"')
            return 1;
        if (!put_escaped(json))
            return 0;
    }
}

static int put_hex(Json *json)
{
    if (!takes(json, '"'))
        return 0;
    for (;;) {
        if (json->at >= json->end)
            return 0;
        if (*json->at == '"') {
            json->at++;
            return 1;
        }
        if (json->end - json->at < 2)
            return 0;
        int high = hex_of(json->at[0]), low = hex_of(json->at[1]);
        if (high < 0 || low < 0)
            return 0;
        uint8_t byte = (uint8_t)(high * 16 + low);
        json->at += 2;
        if (!put(json, &byte, 1))
            return 0;
    }
}

/* A whole number, quoted or not. */
static int whole_of(Json *json, uint64_t *value, int *is_negative)
{
    skip_space(json);
    int is_quoted = json->at < json->end && *json->at == '"', digits = 0;
    json->at += is_quoted;
    *is_negative = json->at < json->end && *json->at == '-';
    json->at += *is_negative;
    Bytes first = json->at;
    *value = 0;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        uint64_t digit = (uint64_t)(*json->at++ - '0');
        if (++digits > DIGITS_MAX || *value > (UINT64_MAX - digit) / 10)
            return 0;
        *value = *value * 10 + digit;
    }
    if (digits == 0 || (digits > 1 && *first == '0') || json->at >= json->end)
        return 0;
    if (is_quoted)
        return *json->at++ == '"';
    return *json->at == ',' || *json->at == '}' || *json->at == ' ' || *json->at == '\n' || *json->at == '\r';
}

static int put_double(Json *json)
{
    char written[NUMBER_MAX + 1];
    int size = 0, is_broken = 0;
    skip_space(json);
    for (; json->at < json->end && size < NUMBER_MAX; json->at++) {
        uint8_t letter = *json->at;
        if (!((letter >= '0' && letter <= '9') || letter == '-' || letter == '+' || letter == '.' || (letter | 32) == 'e'))
            break;
        is_broken |= letter == '.';
        written[size++] = (char)letter;
    }
    written[size] = 0;
    /* As JSON has it: a digit before and behind the point, and no needless zero. Without a point it is a whole number. */
    const char *digits = written + (written[0] == '-');
    const char *point = strchr(digits, '.');
    if (!is_broken || size == NUMBER_MAX || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && point != digits + 1) ||
        point[1] < '0' || point[1] > '9')
        return 0;
    char *stop = NULL;
    double value = PyOS_string_to_double(written, &stop, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return stop == written + size && isfinite(value) && put(json, &value, 8);
}

static int put_message(Json *json, const Field *fields, int depth);

static int put_messages(Json *json, const Field *field, int depth)
{
    if (!takes(json, '['))
        return 0;
    if (takes(json, ']'))
        return 1;
    do {
        Py_ssize_t begin = json->out.size + 1;
        const uint8_t tag[2] = {(uint8_t)(field->number << 3 | 2), 0};
        if (!put(json, tag, 2) || !put_message(json, field->fields, depth) || !put_size(json, begin))
            return 0;
    } while (takes(json, ','));
    return takes(json, ']');
}

static int put_field(Json *json, const Field *field, int depth)
{
    static const uint8_t types[] = {2, 2, 1, 5, 0, 0, 0, 1, 2, 2};
    uint64_t value;
    int is_negative;
    if (field->kind == MESSAGES)
        return put_messages(json, field, depth);
    if (!put_varint(json, (uint64_t)field->number << 3 | types[field->kind]))
        return 0;
    Py_ssize_t begin = json->out.size;
    switch (field->kind) {
    case TEXT:
        return put(json, "", 1) && put_text(json) && put_size(json, begin);
    case HEX:
        return put(json, "", 1) && put_hex(json) && put_size(json, begin);
    case MESSAGE:
        return put(json, "", 1) && put_message(json, field->fields, depth) && put_size(json, begin);
    case DOUBLE:
        return put_double(json);
    case BOOLEAN:
        skip_space(json);
        for (int truth = 0; truth < 2; truth++) {
            const char *word = truth ? "true" : "false";
            Py_ssize_t size = (Py_ssize_t)strlen(word);
            if (json->end - json->at >= size && memcmp(json->at, word, (size_t)size) == 0) {
                json->at += size;
                return put_varint(json, (uint64_t)truth);
            }
        }
        return 0;
    default:
        break;
    }
    if (!whole_of(json, &value, &is_negative))
        return 0;
    if (field->kind == INTEGER) {
        if (value > (uint64_t)INT64_MAX)
            return 0;
        return put_varint(json, is_negative ? 0 - value : value);
    }
    if (is_negative || (field->kind != FIXED64 && value > INT32_MAX))
        return 0;
    return field->kind == COUNT ? put_varint(json, value) : put(json, &value, field->kind == FIXED64 ? 8 : 4);
}

/* An object with fields that are known, each at most once; of those of a value, one alone. */
static int put_message(Json *json, const Field *fields, int depth)
{
    if (depth >= DEPTH_MAX || !takes(json, '{'))
        return 0;
    if (takes(json, '}'))
        return 1;
    uint32_t seen = 0;
    do {
        if (!takes(json, '"'))
            return 0;
        Bytes name = json->at;
        Bytes stop = memchr(name, '"', (size_t)(json->end - name));
        if (stop == NULL)
            return 0;
        const Field *field = fields;
        while (field->name && !(strlen(field->name) == (size_t)(stop - name) && memcmp(field->name, name, (size_t)(stop - name)) == 0))
            field++;
        if (field->name == NULL || seen & 1u << (field - fields) || (seen && fields == any_fields))
            return 0;
        seen |= 1u << (field - fields);
        json->at = stop + 1;
        if (!takes(json, ':') || !put_field(json, field, depth + 1))
            return 0;
    } while (takes(json, ','));
    return takes(json, '}');
}

PyDoc_STRVAR(as_protobuf_doc,
"as_protobuf(body)\n--\n\n"
"The request in JSON as one in protobuf; None when anything in it is not written as usual.");

static PyObject *as_protobuf(PyObject *module, PyObject *argument)
{
    (void)module;
    Py_buffer body;
    if (PyObject_GetBuffer(argument, &body, PyBUF_SIMPLE) < 0)
        return NULL;
    Json json = {.at = body.buf, .end = (Bytes)body.buf + body.len};
    int is_done = put_message(&json, request_fields, 0);
    skip_space(&json);
    PyObject *answer = NULL;
    if (is_done && json.at == json.end)
        answer = PyBytes_FromStringAndSize((const char *)json.out.at, json.out.at ? json.out.size : 0);
    else if (!PyErr_Occurred())
        answer = Py_NewRef(Py_None);
    PyMem_Free(json.out.at);
    PyBuffer_Release(&body);
    return answer;
}
