/* A stand-in for NVIDIA's libnvidia-ml.so.1, with the entry points, structures and return codes of nvml.h.
 *
 * What it answers is in the text file that NVML_STAND_IN names, read again at each call, a line for each answer:
 *
 *     driver=580.95.05        gpu0.name=NVIDIA H100      gpu0.total=85899345920     gpu0.processes=4242:1048576
 *
 * "!15" in place of an answer is a return code; "hang" does not return until the file says something else. What is
 * not in the file is not supported (3). As in the real library, devices are counted when a session begins
 * (nvmlInitWithFlags), and if the line "generation" has changed since then the driver was loaded anew: every
 * call but init fails with 1 (not initialised).
 *
 * Compiled with -DNO_V2 it lacks nvmlDeviceGetMemoryInfo_v2, as drivers before 510 do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int Return;
enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

typedef struct { int gpu, part; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned version, sensor; int degrees; } Temperature;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_device, subsystem;
    char bus_id[32];
} Pci;

#define MOST 16
static Device gpus[MOST], parts[MOST][8];
static int sessions, counted, generation;

/* The answer to `key`, or a return code. */
static Return ask(const char *key, char *answer, size_t size)
{
    for (;;) {
        const char *path = getenv("NVML_STAND_IN");
        FILE *file = path ? fopen(path, "r") : NULL;
        char line[4096];
        Return code = NOT_SUPPORTED;
        int hangs = 0;
        if (!file)
            return 999;
        while (fgets(line, sizeof line, file)) {
            size_t length = strlen(key);
            line[strcspn(line, "\n")] = 0;
            if (strncmp(line, key, length) || line[length] != '=')
                continue;
            snprintf(answer, size, "%s", line + length + 1);
            hangs = !strcmp(answer, "hang");
            code = answer[0] == '!' ? atoi(answer + 1) : SUCCESS;
            break;
        }
        fclose(file);
        if (!hangs)
            return code;
        usleep(20000);
    }
}

static Return number(const char *key, unsigned long long *value)
{
    char answer[4096];
    Return code = ask(key, answer, sizeof answer);
    if (code == SUCCESS)
        *value = strtoull(answer, NULL, 10);
    return code;
}

static Return ready(void)
{
    unsigned long long now = 0;
    number("generation", &now);
    return sessions && (int)now == generation ? SUCCESS : UNINITIALIZED;
}

/* The answer about one field of a device; "gpu0.all" speaks for all of its fields, "gpu0.part3.name" for a part. */
static Return about(Device *device, const char *field, char *answer, size_t size)
{
    char key[80];
    Return code = ready();
    if (code)
        return code;
    snprintf(key, sizeof key, "gpu%d.all", device->gpu);
    code = ask(key, answer, size);
    if (code != NOT_SUPPORTED)
        return code;
    if (device->part < 0)
        snprintf(key, sizeof key, "gpu%d.%s", device->gpu, field);
    else
        snprintf(key, sizeof key, "gpu%d.part%d.%s", device->gpu, device->part, field);
    return ask(key, answer, size);
}

static Return number_of(Device *device, const char *field, unsigned long long *value)
{
    char answer[4096];
    Return code = about(device, field, answer, sizeof answer);
    if (code == SUCCESS)
        *value = strtoull(answer, NULL, 10);
    return code;
}

static Return unsigned_of(Device *device, const char *field, unsigned *value)
{
    unsigned long long found = 0;
    Return code = number_of(device, field, &found);
    *value = (unsigned)found;
    return code;
}

Return nvmlInitWithFlags(unsigned flags)
{
    unsigned long long value = 0;
    Return code = number("init", &value);
    (void)flags;
    if (code && code != NOT_SUPPORTED)
        return code;
    value = 0;
    number("generation", &value);
    generation = (int)value;
    value = 0;
    number("count", &value);
    counted = (int)value;
    sessions++;
    return SUCCESS;
}

Return nvmlShutdown(void)
{
    if (!sessions)
        return UNINITIALIZED;
    sessions--;
    return SUCCESS;
}

const char *nvmlErrorString(Return code)
{
    static char text[40];
    snprintf(text, sizeof text, "stand-in error %d", code);
    return text;
}

Return nvmlSystemGetDriverVersion(char *version, unsigned size)
{
    Return code = ready();
    return code ? code : ask("driver", version, size);
}

Return nvmlSystemGetCudaDriverVersion(int *version)
{
    unsigned long long value = 0;
    Return code = ready();
    if (!code)
        code = number("cuda", &value);
    *version = (int)value;
    return code;
}

Return nvmlSystemGetProcessName(unsigned pid, char *name, unsigned size)
{
    char key[40];
    snprintf(key, sizeof key, "process%u", pid);
    return ask(key, name, size);
}

Return nvmlDeviceGetCount_v2(unsigned *count)
{
    unsigned long long value = counted;
    char answer[80];
    Return code = ready();
    if (code)
        return code;
    code = ask("count", answer, sizeof answer);
    *count = (unsigned)value;
    return code;
}

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device)
{
    char key[40], answer[80];
    Return code = ready();
    if (code)
        return code;
    if ((int)index >= counted || index >= MOST)
        return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "gpu%u.handle", index);
    code = ask(key, answer, sizeof answer);
    if (code && code != NOT_SUPPORTED)
        return code;
    gpus[index].gpu = (int)index;
    gpus[index].part = -1;
    *device = &gpus[index];
    return SUCCESS;
}

Return nvmlDeviceGetName(Device *device, char *name, unsigned size) { return about(device, "name", name, size); }
Return nvmlDeviceGetUUID(Device *device, char *uuid, unsigned size) { return about(device, "uuid", uuid, size); }

Return nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor)
{
    char answer[80];
    Return code = about(device, "capability", answer, sizeof answer);
    return code ? code : sscanf(answer, "%d.%d", major, minor) == 2 ? SUCCESS : 999;
}

Return nvmlDeviceGetMemoryInfo(Device *device, Memory *memory)
{
    unsigned long long reserved = 0;
    Return code = number_of(device, "v1", &reserved);
    if (code && code != NOT_SUPPORTED)
        return code;
    if ((code = number_of(device, "total", &memory->total)) || (code = number_of(device, "used", &memory->used)) ||
        (code = number_of(device, "free", &memory->free)))
        return code;
    reserved = 0;
    number_of(device, "reserved", &reserved);
    memory->used += reserved; /* version 1 does not tell them apart */
    return SUCCESS;
}

#ifndef NO_V2
Return nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *memory)
{
    unsigned long long refused = 0;
    Return code;
    if (memory->version != (2u << 24 | sizeof *memory))
        return 25;
    code = number_of(device, "v2", &refused);
    if (code && code != NOT_SUPPORTED)
        return code;
    if ((code = number_of(device, "total", &memory->total)) || (code = number_of(device, "used", &memory->used)) ||
        (code = number_of(device, "free", &memory->free)))
        return code;
    memory->reserved = 0;
    number_of(device, "reserved", &memory->reserved);
    return SUCCESS;
}
#endif

Return nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates)
{
    rates->memory = 0;
    return unsigned_of(device, "utilisation", &rates->gpu);
}

Return nvmlDeviceGetTemperature(Device *device, unsigned sensor, unsigned *degrees)
{
    return sensor ? INVALID_ARGUMENT : unsigned_of(device, "temperature", degrees);
}

Return nvmlDeviceGetTemperatureV(Device *device, Temperature *temperature)
{
    unsigned degrees = 0;
    Return code = temperature->sensor ? INVALID_ARGUMENT : unsigned_of(device, "temperature", &degrees);
    temperature->degrees = (int)degrees;
    return code;
}

Return nvmlDeviceGetPowerUsage(Device *device, unsigned *power) { return unsigned_of(device, "power", power); }

Return nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *limit)
{
    return unsigned_of(device, "power_limit", limit);
}

Return nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci)
{
    memset(pci, 0, sizeof *pci);
    return about(device, "pci", pci->bus_id, sizeof pci->bus_id);
}

Return nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *later)
{
    Return code = unsigned_of(device, "mig", now);
    *later = *now;
    return code;
}

Return nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count)
{
    unsigned mig = 0;
    unsigned_of(device, "mig", &mig);
    *count = mig ? 7 : 0;
    return SUCCESS;
}

Return nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **part)
{
    char key[40], answer[80];
    if (index >= 8)
        return INVALID_ARGUMENT;
    snprintf(key, sizeof key, "gpu%d.part%u.uuid", device->gpu, index);
    if (ask(key, answer, sizeof answer) == NOT_SUPPORTED)
        return NOT_FOUND;
    parts[device->gpu][index].gpu = device->gpu;
    parts[device->gpu][index].part = (int)index;
    *part = &parts[device->gpu][index];
    return SUCCESS;
}

/* "4242:1048576,4243:na" as processes; the caller first asks how many there are. */
static Return processes(Device *device, const char *field, unsigned *count, Process *found)
{
    char answer[4096], *rest = answer, *one;
    unsigned listed = 0;
    Return code = about(device, field, answer, sizeof answer);
    if (code == NOT_SUPPORTED) { /* a device without a word about processes has none */
        *count = 0;
        return SUCCESS;
    }
    if (code)
        return code;
    if (!*answer)
        rest = NULL;
    while ((one = strsep(&rest, ","))) {
        char *size = strchr(one, ':');
        if (found && listed < *count) {
            memset(&found[listed], 0, sizeof found[listed]);
            found[listed].pid = (unsigned)strtoul(one, NULL, 10);
            found[listed].memory = size && size[1] == 'n' ? ~0ull : strtoull(size ? size + 1 : "0", NULL, 10);
        }
        listed++;
    }
    code = found && listed <= *count ? SUCCESS : INSUFFICIENT_SIZE;
    *count = listed;
    return code;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *found)
{
    return processes(device, "processes", count, found);
}

Return nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned *count, Process *found)
{
    return processes(device, "graphics", count, found);
}

/* Refused wherever the list of computing processes is. */
Return nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *device, unsigned *count, Process *found)
{
    char answer[80];
    if (about(device, "processes", answer, sizeof answer) == 4)
        return 4;
    return processes(device, "mps", count, found);
}
