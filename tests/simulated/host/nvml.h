/* The part of NVIDIA's management library that nvidia-smi and monitoring programs use. */
#ifndef GPUENV_SIMULATED_NVML_H
#define GPUENV_SIMULATED_NVML_H

enum {
    NVML_SUCCESS = 0,
    NVML_ERROR_UNINITIALIZED = 1,
    NVML_ERROR_INVALID_ARGUMENT = 2,
    NVML_ERROR_NOT_FOUND = 6,
    NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_UNKNOWN = 999,
};

struct device;
struct memory {
    unsigned long long total;
    unsigned long long free;
    unsigned long long used;
};

int nvmlInit_v2(void);
int nvmlShutdown(void);
const char *nvmlErrorString(int code);
int nvmlSystemGetDriverVersion(char *version, unsigned int length);
int nvmlSystemGetCudaDriverVersion(int *version);
int nvmlDeviceGetCount_v2(unsigned int *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, struct device **device);
int nvmlDeviceGetIndex(struct device *device, unsigned int *index);
int nvmlDeviceGetMinorNumber(struct device *device, unsigned int *number);
int nvmlDeviceGetName(struct device *device, char *name, unsigned int length);
int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned int length);
int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory);
int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor);

#endif
