/* Every other function of the driver: since cuInit never succeeds, each answers that the driver is not initialized.
 *
 * Weak, so that what libcuda.c defines takes the place of the function of the same name here. They ignore their
 * arguments, which the calling convention of x86-64 leaves to the caller.
 */
enum { CUDA_ERROR_NOT_INITIALIZED = 3 };

#define FUNCTION(name) \
    __attribute__((weak)) int name(void) \
    { \
        return CUDA_ERROR_NOT_INITIALIZED; \
    }

#include "driver-api.h"

/* Names from before the suffix _v2, which programs still look up by hand. */
FUNCTION(cuCtxCreate)
FUNCTION(cuCtxDestroy)
FUNCTION(cuCtxPopCurrent)
FUNCTION(cuCtxPushCurrent)
FUNCTION(cuDeviceTotalMem)
FUNCTION(cuMemAlloc)
FUNCTION(cuMemFree)
FUNCTION(cuMemGetInfo)
FUNCTION(cuMemcpyDtoH)
FUNCTION(cuMemcpyHtoD)
