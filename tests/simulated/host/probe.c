/* What a program in a container sees of the driver: facts of libcuda.so.1, one `key value` line each.
 *
 * RTLD_NOW binds at once, as TensorFlow's libraries do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *library;

static void *find(const char *name)
{
    return dlsym(library, name);
}

static const char *name_of(int code)
{
    const char *name = NULL;
    int (*get)(int, const char **) = (int (*)(int, const char **))find("cuGetErrorName");

    return get(code, &name) == 0 ? name : "?";
}

static void print_uuid(int device)
{
    unsigned char bytes[16];
    int place;

    if (((int (*)(unsigned char *, int))find("cuDeviceGetUuid"))(bytes, device) != 0)
        return;
    printf("device%d.uuid GPU-", device);
    for (place = 0; place < 16; ++place)
        printf("%s%02x", place == 4 || place == 6 || place == 8 || place == 10 ? "-" : "", bytes[place]);
    puts("");
}

static void print_device(int ordinal)
{
    char name[128] = "";
    size_t bytes = 0;
    int device = -1, major = 0, minor = 0, attribute = 0;

    ((int (*)(int *, int))find("cuDeviceGet"))(&device, ordinal);
    ((int (*)(char *, int, int))find("cuDeviceGetName"))(name, sizeof name, device);
    ((int (*)(int *, int *, int))find("cuDeviceComputeCapability"))(&major, &minor, device);
    ((int (*)(int *, int, int))find("cuDeviceGetAttribute"))(&attribute, 75, device);
    ((int (*)(size_t *, int))find("cuDeviceTotalMem_v2"))(&bytes, device);
    printf("device%d.name %s\n", ordinal, name);
    printf("device%d.compute_capability %d.%d\n", ordinal, major, minor);
    printf("device%d.attribute_major %d\n", ordinal, attribute);
    printf("device%d.memory_mib %zu\n", ordinal, bytes >> 20);
    print_uuid(device);
}

int main(int argc, char **argv)
{
    Dl_info where;
    int count = 0, version = 0, status, ordinal;
    void *context = NULL;

    library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library == NULL) {
        printf("error %s\n", dlerror());
        return EXIT_FAILURE;
    }
    if (dladdr(find("cuInit"), &where) != 0)
        printf("path %s\n", where.dli_fname);
    printf("simulated %s\n", find("gpuenv_simulated_driver") != NULL ? "yes" : "no");
    printf("standin %s\n", find("gpuenv_libcuda_standin") != NULL ? "yes" : "no");
    status = ((int (*)(int *))find("cuDeviceGetCount"))(&count);
    printf("before_init %s\n", name_of(status));
    printf("init %s\n", name_of(((int (*)(unsigned int))find("cuInit"))(0)));
    ((int (*)(int *))find("cuDriverGetVersion"))(&version);
    printf("version %d\n", version);
    count = 0;
    ((int (*)(int *))find("cuDeviceGetCount"))(&count);
    printf("count %d\n", count);
    for (ordinal = 0; ordinal < count; ++ordinal)
        print_device(ordinal);
    status = ((int (*)(void **, unsigned int, int))find("cuCtxCreate_v2"))(&context, 0, 0);
    printf("context %s\n", name_of(status));
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "wait") == 0)
        pause(); /* a container that can be looked into */
    return EXIT_SUCCESS;
}
