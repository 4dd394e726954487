/* A stand-in for the NVIDIA driver's library, for containers on machines without that driver.
 *
 * TensorFlow up to 1.13 is linked against libcuda.so.1 and cannot even be imported without one. This one lets it load
 * and then answers what a driver without a GPU answers, so that TensorFlow says so and computes on the CPU. It lies in
 * the loader's last default folder, so the driver's own library, where there is one, is found before it.
 *
 *   gcc -shared -fPIC -O2 -Wall -Wextra -Werror -Wl,--build-id=none -Wl,-soname,libcuda.so.1 \
 *       -o libcuda.so.1 libcuda.c unavailable.c
 *
 * Names, codes and texts are those of NVIDIA's driver API.
 */
#include <stddef.h>

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
};

/* What tells this library from a driver's: whoever finds this symbol is talking to the stand-in. */
const char gpuenv_libcuda_standin[] = "gpuenv's stand-in for libcuda: no NVIDIA driver in this container";

/* Newer than any toolkit, so that the CUDA runtime goes on to look for devices instead of calling the driver too old. */
static const int DRIVER_VERSION = 99990;

static const struct {
    int code;
    const char *name;
    const char *text;
} ERRORS[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE",
     "no CUDA-capable device is detected (gpuenv's stand-in for libcuda: no NVIDIA driver in this container)"},
};

int cuInit(unsigned int flags)
{
    return flags == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_ERROR_INVALID_VALUE;
}

int cuDriverGetVersion(int *version)
{
    if (version == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *version = DRIVER_VERSION;
    return CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count)
{
    if (count == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *count = 0;
    return CUDA_SUCCESS;
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
