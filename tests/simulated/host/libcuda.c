/* A simulated NVIDIA driver library: it knows devices, but cannot compute on them.
 *
 * It answers what programs ask before they create a context. Everything that needs a real GPU (contexts, memory,
 * kernels) is CUDA_ERROR_NOT_SUPPORTED, see unsupported.c, so that nothing is ever taken for a result of a GPU.
 *
 * Names, codes and texts are those of NVIDIA's driver API.
 */
#include "scenario.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_NOT_SUPPORTED = 801,
    CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
    CUDA_ERROR_UNKNOWN = 999,
};

/* By this symbol a harness knows that what it sees is simulated. */
const char gpuenv_simulated_driver[] = "NVIDIA driver simulated by the tests of gpuenv";

static const struct {
    int code;
    const char *name;
    const char *text;
} ERRORS[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED",
     "operation not supported (NVIDIA driver simulated by the tests of gpuenv)"},
    {CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
     "system has unsupported display driver / cuda driver combination"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static struct scenario scenario;
static const struct device *visible[MAX_DEVICES];
static int visible_count;
static int is_initialized;

/* One entry of CUDA_VISIBLE_DEVICES: a number, or the beginning of a UUID. */
static const struct device *find_device(const char *entry, size_t length)
{
    int position;

    for (position = 0; position < scenario.count; ++position) {
        char number[16];

        snprintf(number, sizeof number, "%d", position);
        if (strlen(number) == length && strncmp(entry, number, length) == 0)
            return &scenario.devices[position];
        if (length > 4 && strncmp(entry, scenario.devices[position].uuid, length) == 0)
            return &scenario.devices[position];
    }
    return NULL;
}

/* As NVIDIA documents it: the entries up to the first one that names no device; an empty value hides all. */
static void select_visible(void)
{
    const char *entry = getenv("CUDA_VISIBLE_DEVICES");

    visible_count = 0;
    if (entry == NULL) {
        for (; visible_count < scenario.count; ++visible_count)
            visible[visible_count] = &scenario.devices[visible_count];
        return;
    }
    while (visible_count < MAX_DEVICES) {
        size_t length = strcspn(entry, ",");
        const struct device *device = find_device(entry, length);

        if (device == NULL)
            return;
        visible[visible_count++] = device;
        if (entry[length] == '\0')
            return;
        entry += length + 1;
    }
}

int cuInit(unsigned int flags)
{
    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    read_scenario(&scenario);
    if (!scenario.has_control)
        return CUDA_ERROR_NO_DEVICE;
    if (strcmp(scenario.driver, scenario.library) != 0)
        return CUDA_ERROR_SYSTEM_DRIVER_MISMATCH;
    select_visible();
    if (visible_count == 0)
        return CUDA_ERROR_NO_DEVICE;
    if (!scenario.has_uvm)
        return CUDA_ERROR_UNKNOWN;
    is_initialized = 1;
    return CUDA_SUCCESS;
}

/* Works without cuInit, as the real one does. */
int cuDriverGetVersion(int *version)
{
    if (version == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!is_initialized)
        read_scenario(&scenario);
    *version = scenario.cuda;
    return CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count)
{
    if (!is_initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (count == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *count = visible_count;
    return CUDA_SUCCESS;
}

int cuDeviceGet(int *device, int ordinal)
{
    if (!is_initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || ordinal >= visible_count)
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

static int check_device(const void *result, int device)
{
    int ordinal;

    return result == NULL ? CUDA_ERROR_INVALID_VALUE : cuDeviceGet(&ordinal, device);
}

int cuDeviceGetName(char *name, int length, int device)
{
    int status = check_device(name, device);

    if (status == CUDA_SUCCESS)
        snprintf(name, length < 0 ? 0 : (size_t)length, "%s", visible[device]->name);
    return status;
}

int cuDeviceGetPCIBusId(char *bus_id, int length, int device)
{
    int status = check_device(bus_id, device);

    if (status == CUDA_SUCCESS)
        snprintf(bus_id, length < 0 ? 0 : (size_t)length, "%s", visible[device]->bus_id);
    return status;
}

static unsigned char digit_of(char letter)
{
    return (unsigned char)(letter <= '9' ? letter - '0' : letter - 'a' + 10);
}

int cuDeviceGetUuid(unsigned char *bytes, int device)
{
    int status = check_device(bytes, device);
    const char *letter;
    int count = 0;

    if (status != CUDA_SUCCESS)
        return status;
    memset(bytes, 0, 16);
    for (letter = visible[device]->uuid + strlen("GPU-"); *letter != '\0' && count < 32; ++letter)
        if (*letter != '-') {
            bytes[count / 2] = (unsigned char)(bytes[count / 2] << 4 | digit_of(*letter));
            ++count;
        }
    return CUDA_SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    int status = check_device(bytes, device);

    if (status == CUDA_SUCCESS)
        *bytes = (size_t)visible[device]->memory_mib << 20;
    return status;
}

int cuDeviceComputeCapability(int *major, int *minor, int device)
{
    int status = check_device(minor, device);

    if (status == CUDA_SUCCESS && major == NULL)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS) {
        *major = visible[device]->major;
        *minor = visible[device]->minor;
    }
    return status;
}

/* NVIDIA's CU_DEVICE_ATTRIBUTE_* of CUDA 11.0 have these numbers; those not below are 0, "no" for most. */
enum { FIRST_ATTRIBUTE = 1, LAST_ATTRIBUTE = 118 };

/* The limits of compute capability 6.0 to 8.6 have these in common. TensorFlow aborts when it cannot read one. */
static const struct {
    int attribute;
    int value;
} LIMITS[] = {
    {1, 1024},       /* threads per block */
    {2, 1024},       /* block dimensions */
    {3, 1024},
    {4, 64},
    {5, 2147483647}, /* grid dimensions */
    {6, 65535},
    {7, 65535},
    {8, 49152},      /* bytes of shared memory per block */
    {9, 65536},      /* bytes of constant memory */
    {10, 32},        /* threads per warp */
    {11, 2147483647}, /* bytes of pitch */
    {12, 65536},     /* registers per block */
    {13, 1380000},   /* clock rate, kHz */
    {14, 512},       /* texture alignment */
    {19, 1},         /* can map host memory */
    {31, 1},         /* concurrent kernels */
    {36, 877000},    /* memory clock rate, kHz */
    {37, 4096},      /* bits of the memory bus */
    {39, 2048},      /* threads per multiprocessor */
    {41, 1},         /* unified addressing */
    {81, 98304},     /* bytes of shared memory per multiprocessor */
    {82, 65536},     /* registers per multiprocessor */
};

static int limit_of(int attribute)
{
    size_t place;

    for (place = 0; place < sizeof LIMITS / sizeof LIMITS[0]; ++place)
        if (LIMITS[place].attribute == attribute)
            return LIMITS[place].value;
    return 0;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    int status = check_device(value, device);

    if (status != CUDA_SUCCESS)
        return status;
    if (attribute < FIRST_ATTRIBUTE || attribute > LAST_ATTRIBUTE)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case 16:
        *value = visible[device]->multiprocessors;
        break;
    case 75:
        *value = visible[device]->major;
        break;
    case 76:
        *value = visible[device]->minor;
        break;
    default:
        *value = limit_of(attribute);
    }
    return CUDA_SUCCESS;
}

/* There is no context, since none can be made. With these three TensorFlow gets as far as making one, and says what
 * refuses it. */
int cuCtxGetCurrent(void **context)
{
    if (!is_initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (context == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *context = NULL;
    return CUDA_SUCCESS;
}

int cuCtxSetCurrent(void *context)
{
    if (!is_initialized)
        return CUDA_ERROR_NOT_INITIALIZED;
    return context == NULL ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

int cuDevicePrimaryCtxGetState(int device, unsigned int *flags, int *is_active)
{
    int status = check_device(flags, device);

    if (status == CUDA_SUCCESS && is_active == NULL)
        status = CUDA_ERROR_INVALID_VALUE;
    if (status == CUDA_SUCCESS) {
        *flags = 0;
        *is_active = 0;
    }
    return status;
}

static int find_error(int code, size_t *place)
{
    for (*place = 0; *place < sizeof ERRORS / sizeof ERRORS[0]; ++*place)
        if (ERRORS[*place].code == code)
            return 1;
    return 0;
}

int cuGetErrorName(int code, const char **name)
{
    size_t place;

    if (name == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *name = find_error(code, &place) ? ERRORS[place].name : NULL;
    return *name == NULL ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

int cuGetErrorString(int code, const char **text)
{
    size_t place;

    if (text == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *text = find_error(code, &place) ? ERRORS[place].text : NULL;
    return *text == NULL ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}
