/* A simulated libnvidia-ml: the same scenario as libcuda.c, with NVML's own names, codes and texts. */
#include "nvml.h"
#include "scenario.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char gpuenv_simulated_nvml[] = "NVML simulated by the tests of gpuenv";

static struct scenario scenario;
static int is_initialized;

int nvmlInit_v2(void)
{
    read_scenario(&scenario);
    if (!scenario.has_control)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (strcmp(scenario.driver, scenario.library) != 0)
        return NVML_ERROR_LIB_RM_VERSION_MISMATCH;
    is_initialized = 1;
    return NVML_SUCCESS;
}

int nvmlInit(void)
{
    return nvmlInit_v2();
}

int nvmlInitWithFlags(unsigned int flags)
{
    (void)flags;
    return nvmlInit_v2();
}

int nvmlShutdown(void)
{
    if (!is_initialized)
        return NVML_ERROR_UNINITIALIZED;
    is_initialized = 0;
    return NVML_SUCCESS;
}

const char *nvmlErrorString(int code)
{
    switch (code) {
    case NVML_SUCCESS:
        return "Success";
    case NVML_ERROR_UNINITIALIZED:
        return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
        return "Invalid Argument";
    case NVML_ERROR_NOT_FOUND:
        return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
        return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED:
        return "Driver Not Loaded";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "Driver/library version mismatch";
    default:
        return "Unknown Error";
    }
}

static int give_text(char *target, unsigned int length, const char *text)
{
    if (!is_initialized)
        return NVML_ERROR_UNINITIALIZED;
    if (target == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (length <= strlen(text))
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(target, text);
    return NVML_SUCCESS;
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    return give_text(version, length, scenario.driver);
}

int nvmlSystemGetCudaDriverVersion(int *version)
{
    if (!is_initialized)
        return NVML_ERROR_UNINITIALIZED;
    if (version == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *version = scenario.cuda;
    return NVML_SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    if (!is_initialized)
        return NVML_ERROR_UNINITIALIZED;
    if (count == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = (unsigned int)scenario.count;
    return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct device **device)
{
    if (!is_initialized)
        return NVML_ERROR_UNINITIALIZED;
    if (device == NULL || index >= (unsigned int)scenario.count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = &scenario.devices[index];
    return NVML_SUCCESS;
}

int nvmlDeviceGetIndex(struct device *device, unsigned int *index)
{
    if (device == NULL || index == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *index = (unsigned int)(device - scenario.devices);
    return NVML_SUCCESS;
}

int nvmlDeviceGetMinorNumber(struct device *device, unsigned int *number)
{
    if (device == NULL || number == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *number = (unsigned int)device->minor_number;
    return NVML_SUCCESS;
}

int nvmlDeviceGetName(struct device *device, char *name, unsigned int length)
{
    return device == NULL ? NVML_ERROR_INVALID_ARGUMENT : give_text(name, length, device->name);
}

int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned int length)
{
    return device == NULL ? NVML_ERROR_INVALID_ARGUMENT : give_text(uuid, length, device->uuid);
}

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory)
{
    if (device == NULL || memory == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    memory->total = (unsigned long long)device->memory_mib << 20;
    memory->free = memory->total;
    memory->used = 0;
    return NVML_SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor)
{
    if (device == NULL || major == NULL || minor == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    *major = device->major;
    *minor = device->minor;
    return NVML_SUCCESS;
}
