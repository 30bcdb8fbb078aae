/* Counts calls in their windows as they come: histograms, sums, and the calls worth a look.
 *
 * The same as `windows/heap.py` does without it for thousands at a time, to the last bit: that one says what is counted.
 * Each window has a small hash table, of how many values of each measure lie in which bucket. Include it behind the
 * scanner's `Record`.
 */

#define BASES 4
#define TALLY_ROOM 16 /* slots of a window to begin with, a power of two */
#define BUCKETS_MAX 4095
#define WINDOWS_MAX (1 << 24)
#define PARTS 128
#define AHEAD 16 /* calls whose slots are fetched from memory while those before are counted */

enum { LATENCY, TTFT, COST, INPUT, OUTPUT, SPEED, MEASURES };
enum { SLOWEST, DEAREST, FAILED, TELLING };
enum { TELLING_MAX = 3 };
enum { IS_ERROR = 1, HAS_LATENCY = 2 };

typedef struct {
    uint32_t key, count; /* a key of 0 is a free slot */
} Slot;

typedef struct {
    double value;
    uint8_t ids[24];
} Telling;

/* What is counted of a window. A sum of billionths is `high` times 2**32 and `low`: no number of calls is too many. */
typedef struct {
    Slot *slots;
    uint32_t room, used;
    int64_t high[MEASURES];
    uint64_t low[MEASURES];
    int64_t cached;
    int telling_count[TELLING];
    Telling telling[TELLING][TELLING_MAX]; /* the least first */
} Window;

typedef struct {
    int32_t window;
    uint8_t flags;
    int64_t calls[BASES];
} Group;

typedef struct {
    PyObject_HEAD
    double *edges;
    int64_t edges_count;
    double smallest, largest, scale, first; /* buckets to a doubling; the number of the bucket below the first edge */
    double logarithm[PARTS];                /* to base 2, of where each part of a doubling begins */
    Window *windows;
    Group *groups;
    Py_ssize_t windows_count, groups_count, windows_room, groups_room;
} Counts;

/* Room for so many of `size` bytes at `many`; what is in it is not said. 0 with an exception. */
static int make_room(void **many, Py_ssize_t *room, Py_ssize_t wanted, size_t size)
{
    if (wanted <= *room)
        return 1;
    Py_ssize_t more = wanted < 64 ? 64 : wanted + wanted / 2;
    void *made = PyMem_Realloc(*many, (size_t)more * size);
    if (made == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    *many = made;
    *room = more;
    return 1;
}

static inline uint32_t slot_of(uint32_t key, uint32_t room)
{
    return (key * 0x9E3779B1u >> 7) & (room - 1);
}

static int grow(Window *window)
{
    uint32_t room = window->room ? 2 * window->room : TALLY_ROOM;
    Slot *slots = PyMem_Calloc(room, sizeof(Slot));
    if (slots == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (uint32_t i = 0; i < window->room; i++) {
        if (window->slots[i].key == 0)
            continue;
        uint32_t at = slot_of(window->slots[i].key, room);
        while (slots[at].key != 0)
            at = (at + 1) & (room - 1);
        slots[at] = window->slots[i];
    }
    PyMem_Free(window->slots);
    window->slots = slots;
    window->room = room;
    return 1;
}

/* The bucket of a value: 0 of what is counted as zero, else 1 more than the place of the first edge not below it. */
static inline uint32_t bucket_of(const Counts *self, double value)
{
    if (!(value > self->smallest))
        return 0;
    if (value > self->largest)
        value = self->largest;
    uint64_t bits;
    memcpy(&bits, &value, 8);
    /* Off by less than half a bucket, and never too high: a positive float is a power of two and parts of it. */
    double doublings = (double)((int64_t)(bits >> 52) - 1023) + self->logarithm[bits >> 45 & (PARTS - 1)];
    int64_t near = (int64_t)(doublings * self->scale - self->first);
    near = near < 1 ? 1 : near > self->edges_count - 1 ? self->edges_count - 1 : near;
    while (near > 1 && self->edges[near - 1] >= value)
        near--;
    while (near < self->edges_count - 1 && self->edges[near] < value)
        near++;
    return (uint32_t)near + 1;
}

/* Count a value by its key. There must be a free slot. */
static inline void count_key(Window *window, uint32_t key)
{
    uint32_t at = slot_of(key, window->room);
    while (window->slots[at].key != key) {
        if (window->slots[at].key == 0) {
            window->slots[at].key = key;
            window->used++;
            break;
        }
        at = (at + 1) & (window->room - 1);
    }
    window->slots[at].count++;
}

static inline int is_less(const Telling *one, double value, const uint8_t *ids)
{
    return one->value < value || (one->value == value && memcmp(one->ids, ids, sizeof one->ids) < 0);
}

/* Keep a call where it is among the most telling ones. */
static inline void offer(Window *window, int kind, double value, const uint8_t *ids)
{
    Telling *all = window->telling[kind];
    int count = window->telling_count[kind];
    if (count == TELLING_MAX && !is_less(all, value, ids))
        return;
    int place = 0;
    while (place < count && is_less(&all[place], value, ids))
        place++;
    if (place < count && all[place].value == value && memcmp(all[place].ids, ids, sizeof all[place].ids) == 0)
        return; /* the same call */
    if (count == TELLING_MAX) {
        place--;
        memmove(all, all + 1, (size_t)place * sizeof *all);
    } else {
        memmove(all + place + 1, all + place, (size_t)(count - place) * sizeof *all);
        window->telling_count[kind]++;
    }
    all[place].value = value;
    memcpy(all[place].ids, ids, sizeof all[place].ids);
}

/* How many seconds a call took. */
static inline double took(const Record *one)
{
    return (double)not_negative((int64_t)((uint64_t)one->end_ns - (uint64_t)one->start_ns)) / 1e9;
}

/* A call on its way into the window of its group. */
typedef struct {
    const Record *record;
    Group *group;
    Window *window;
    double duration, cost;
    int64_t basis, nano[MEASURES];
    uint32_t keys[MEASURES]; /* 0 of what is not told */
} Call;

/* Say where a value will be counted, and have that place fetched. */
static inline void place_value(const Counts *self, Call *call, int measure, double value)
{
    uint32_t bucket = bucket_of(self, value), key = ((uint32_t)measure << 12 | bucket) + 1;
    double rounded = bucket == 0 ? 0.0 : rint(value * 1e9);
    call->keys[measure] = key;
    call->nano[measure] = (int64_t)(rounded < 9e18 ? rounded : 9e18);
    if (call->window->room)
        __builtin_prefetch(&call->window->slots[slot_of(key, call->window->room)], 1);
}

static inline void place_call(const Counts *self, Call *call)
{
    const Record *one = call->record;
    double ttft = one->waited;
    memset(call->keys, 0, sizeof call->keys);
    call->duration = took(one);
    if (call->group->flags & HAS_LATENCY)
        place_value(self, call, LATENCY, call->duration);
    if (!isnan(ttft))
        place_value(self, call, TTFT, ttft);
    if (!isnan(call->cost))
        place_value(self, call, COST, call->cost);
    if (one->asked >= 0)
        place_value(self, call, INPUT, (double)one->asked);
    if (one->output >= 0)
        place_value(self, call, OUTPUT, (double)one->output);
    double writing = call->duration - (isnan(ttft) ? 0.0 : ttft);
    if (!(call->group->flags & IS_ERROR) && one->output > 0 && writing > 0)
        place_value(self, call, SPEED, (double)one->output / writing);
}

/* Count a call that was placed. 0 with an exception. */
static inline int count_call(const Call *call)
{
    Window *window = call->window;
    if (4 * (window->used + MEASURES) > 3 * window->room && !grow(window))
        return 0;
    call->group->calls[call->basis]++;
    window->cached += not_negative(call->record->cached);
    for (int measure = 0; measure < MEASURES; measure++) {
        if (call->keys[measure] == 0)
            continue;
        window->high[measure] += call->nano[measure] >> 32;
        window->low[measure] += (uint64_t)call->nano[measure] & 0xFFFFFFFFu;
        count_key(window, call->keys[measure]);
    }
    const uint8_t *ids = call->record->trace_id; /* the span's follows */
    if (call->group->flags & IS_ERROR)
        offer(window, FAILED, (double)(int64_t)call->record->end_ns / 1e9, ids);
    else
        offer(window, SLOWEST, call->duration, ids);
    if (call->cost > 0)
        offer(window, DEAREST, call->cost, ids);
    return 1;
}

PyDoc_STRVAR(counts_know_doc,
"know(windows, flags)\n--\n\n"
"Know more groups: the numbers of their windows (32 bits), and whether they failed (1) and have a latency (2).");

static PyObject *counts_know(Counts *self, PyObject *arguments)
{
    Py_buffer windows, flags;
    if (!PyArg_ParseTuple(arguments, "y*y*", &windows, &flags))
        return NULL;
    Py_ssize_t more = flags.len;
    int done = windows.len == 4 * more;
    if (!done)
        PyErr_SetString(PyExc_ValueError, "each group has a window");
    done = done && make_room((void **)&self->groups, &self->groups_room, self->groups_count + more, sizeof(Group));
    for (Py_ssize_t i = 0; done && i < more; i++) {
        Group *group = &self->groups[self->groups_count];
        memset(group, 0, sizeof *group);
        memcpy(&group->window, (const char *)windows.buf + 4 * i, 4);
        group->flags = ((const uint8_t *)flags.buf)[i];
        if (group->window < 0 || group->window >= WINDOWS_MAX) {
            PyErr_SetString(PyExc_ValueError, "there is no such window");
            done = 0;
        }
        done = done &&
               make_room((void **)&self->windows, &self->windows_room, (Py_ssize_t)group->window + 1, sizeof(Window));
        if (done) {
            while (self->windows_count <= group->window)
                memset(&self->windows[self->windows_count++], 0, sizeof(Window));
            self->groups_count++;
        }
    }
    PyBuffer_Release(&windows);
    PyBuffer_Release(&flags);
    return done ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(counts_add_doc,
"add(records, groups, costs, bases)\n--\n\n"
"Count calls: the numbers of their groups (64 bits), what they cost, and the number of how sure that is (64 bits).");

static PyObject *counts_add(Counts *self, PyObject *arguments)
{
    Py_buffer records, groups, costs, bases;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*", &records, &groups, &costs, &bases))
        return NULL;
    Py_ssize_t count = records.len / (Py_ssize_t)sizeof(Record);
    int done = groups.len == 8 * count && costs.len == 8 * count && bases.len == 8 * count;
    const int64_t *group = groups.buf, *basis = bases.buf;
    for (Py_ssize_t i = 0; done && i < count; i++)
        done = group[i] >= 0 && group[i] < self->groups_count && basis[i] >= 0 && basis[i] < BASES;
    if (!done)
        PyErr_SetString(PyExc_ValueError, "each call has a known group, a cost and a basis");
    Call calls[AHEAD];
    for (Py_ssize_t first = 0; done && first < count; first += AHEAD) {
        Py_ssize_t some = count - first < AHEAD ? count - first : AHEAD;
        for (Py_ssize_t i = 0; i < some; i++) {
            Call *call = &calls[i];
            call->record = (const Record *)records.buf + first + i;
            call->group = &self->groups[group[first + i]];
            call->window = &self->windows[call->group->window];
            call->cost = ((const double *)costs.buf)[first + i];
            call->basis = basis[first + i];
            __builtin_prefetch(call->window, 1);
        }
        for (Py_ssize_t i = 0; i < some; i++)
            place_call(self, &calls[i]);
        for (Py_ssize_t i = 0; done && i < some; i++)
            done = count_call(&calls[i]);
    }
    PyBuffer_Release(&records);
    PyBuffer_Release(&groups);
    PyBuffer_Release(&costs);
    PyBuffer_Release(&bases);
    return done ? Py_NewRef(Py_None) : NULL;
}

/* The buckets of all measures of a window, a dictionary each, and what each adds up to in billionths. */
static PyObject *measures_of(const Counts *self, const Window *window)
{
    long zeros = (long)self->first - 1; /* the number of the bucket of what is counted as zero */
    PyObject *all = PyTuple_New(MEASURES), *thirty_two = PyLong_FromLong(32);
    for (int measure = 0; all != NULL && thirty_two != NULL && measure < MEASURES; measure++) {
        PyObject *high = PyLong_FromLongLong(window->high[measure]);
        PyObject *low = PyLong_FromUnsignedLongLong(window->low[measure]);
        PyObject *shifted = high == NULL ? NULL : PyNumber_Lshift(high, thirty_two);
        PyObject *sum = shifted == NULL || low == NULL ? NULL : PyNumber_Add(shifted, low);
        PyObject *one = sum == NULL ? NULL : Py_BuildValue("({}O)", sum);
        Py_XDECREF(high);
        Py_XDECREF(low);
        Py_XDECREF(shifted);
        Py_XDECREF(sum);
        if (one == NULL)
            Py_CLEAR(all);
        else
            PyTuple_SET_ITEM(all, measure, one);
    }
    Py_XDECREF(thirty_two);
    for (uint32_t i = 0; all != NULL && i < window->room; i++) {
        uint32_t key = window->slots[i].key - 1;
        if (window->slots[i].key == 0)
            continue;
        PyObject *buckets = PyTuple_GET_ITEM(PyTuple_GET_ITEM(all, key >> 12), 0);
        PyObject *bucket = PyLong_FromLong((long)(key & BUCKETS_MAX) + zeros);
        PyObject *count = PyLong_FromUnsignedLong(window->slots[i].count);
        if (bucket == NULL || count == NULL || PyDict_SetItem(buckets, bucket, count) < 0)
            Py_CLEAR(all);
        Py_XDECREF(bucket);
        Py_XDECREF(count);
    }
    return all;
}

static PyObject *telling_of(const Window *window)
{
    PyObject *all = PyTuple_New(TELLING);
    for (int kind = 0; all != NULL && kind < TELLING; kind++) {
        PyObject *found = PyList_New(0);
        for (int i = 0; found != NULL && i < window->telling_count[kind]; i++) {
            const Telling *one = &window->telling[kind][i];
            PyObject *told = Py_BuildValue("(dy#)", one->value, (const char *)one->ids, (Py_ssize_t)sizeof one->ids);
            if (told == NULL || PyList_Append(found, told) < 0)
                Py_CLEAR(found);
            Py_XDECREF(told);
        }
        if (found == NULL)
            Py_CLEAR(all);
        else
            PyTuple_SET_ITEM(all, kind, found);
    }
    return all;
}

PyDoc_STRVAR(counts_window_doc,
"window(number) -> (measures, cached, telling)\n--\n\n"
"What was counted of a window: of each measure the buckets and the sum in billionths, the cached tokens, and the\n"
"slowest, dearest and failed calls, each with its value and ids.");

static PyObject *counts_window(Counts *self, PyObject *number)
{
    Py_ssize_t place = PyNumber_AsSsize_t(number, PyExc_IndexError);
    if (place == -1 && PyErr_Occurred())
        return NULL;
    if (place < 0 || place >= self->windows_count) {
        PyErr_SetString(PyExc_IndexError, "there is no such window");
        return NULL;
    }
    const Window *window = &self->windows[place];
    PyObject *measures = measures_of(self, window), *telling = measures == NULL ? NULL : telling_of(window);
    PyObject *told = telling == NULL ? NULL : Py_BuildValue("(OLO)", measures, (long long)window->cached, telling);
    Py_XDECREF(measures);
    Py_XDECREF(telling);
    return told;
}

PyDoc_STRVAR(counts_calls_doc,
"calls() -> bytes\n--\n\n"
"How many calls of each group there were, for each of the bases (64 bits each).");

static PyObject *counts_calls(Counts *self, PyObject *nothing)
{
    (void)nothing;
    PyObject *calls = PyBytes_FromStringAndSize(NULL, self->groups_count * BASES * 8);
    for (Py_ssize_t i = 0; calls != NULL && i < self->groups_count; i++)
        memcpy(PyBytes_AS_STRING(calls) + i * BASES * 8, self->groups[i].calls, BASES * 8);
    return calls;
}

PyDoc_STRVAR(counts_doc,
"Counts(edges, smallest, largest, log_gamma, first)\n--\n\n"
"Counts calls in histograms whose buckets have these upper edges, the first of which is bucket `first`.");

static int counts_init(Counts *self, PyObject *arguments, PyObject *names)
{
    Py_buffer edges;
    double log_gamma;
    if (self->edges != NULL || (names != NULL && PyDict_GET_SIZE(names) != 0)) {
        PyErr_SetString(PyExc_TypeError, "it is made once, of what has no names");
        return -1;
    }
    if (!PyArg_ParseTuple(arguments, "y*dddd", &edges, &self->smallest, &self->largest, &log_gamma, &self->first))
        return -1;
    self->edges_count = (int64_t)(edges.len / 8);
    if (self->edges_count < 2 || self->edges_count >= BUCKETS_MAX || edges.len % 8 != 0 || !(log_gamma > 0))
        PyErr_SetString(PyExc_ValueError, "there are edges of some buckets, and they grow");
    else if ((self->edges = PyMem_Malloc((size_t)edges.len)) == NULL)
        PyErr_NoMemory();
    else
        memcpy(self->edges, edges.buf, (size_t)edges.len);
    self->scale = log(2.0) / log_gamma;
    for (int i = 0; i < PARTS; i++)
        self->logarithm[i] = log2(1.0 + (double)i / PARTS);
    PyBuffer_Release(&edges);
    return self->edges == NULL ? -1 : 0;
}

static void counts_dealloc(Counts *self)
{
    for (Py_ssize_t i = 0; i < self->windows_count; i++)
        PyMem_Free(self->windows[i].slots);
    PyMem_Free(self->windows);
    PyMem_Free(self->groups);
    PyMem_Free(self->edges);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef counts_methods[] = {
    {"know", (PyCFunction)counts_know, METH_VARARGS, counts_know_doc},
    {"add", (PyCFunction)counts_add, METH_VARARGS, counts_add_doc},
    {"window", (PyCFunction)counts_window, METH_O, counts_window_doc},
    {"calls", (PyCFunction)counts_calls, METH_NOARGS, counts_calls_doc},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject counts_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "monitor.traffic.lookout._scan.Counts",
    .tp_basicsize = sizeof(Counts),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = counts_doc,
    .tp_methods = counts_methods,
    .tp_init = (initproc)counts_init,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)counts_dealloc,
};
