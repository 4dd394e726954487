/* A simulated nvidia-smi: the list, queries as CSV, and the table, with the messages and exit codes of the real one.
 *
 * Linked statically, with NVML inside, so that it runs in any container, one without a C library included.
 */
#include "nvml.h"
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_INVALID_ARGUMENT = 2, MAX_FIELDS = 16 };

struct options {
    int is_list;
    char *query;
    const char *id;
    int has_format;
    int has_header;
    int has_units;
};

struct facts {
    struct device *device;
    unsigned int index;
    const char *driver;
};

static const char *const TITLES[] = {
    "index", "name", "gpu_name", "uuid", "gpu_uuid", "driver_version", "memory.total",
    "pci.bus_id", "gpu_bus_id", "compute_cap", "count",
};

static int fail(int code)
{
    if (code == NVML_ERROR_DRIVER_NOT_LOADED)
        puts("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
             "NVIDIA driver is installed and running.\n");
    else
        printf("Failed to initialize NVML: %s\n", nvmlErrorString(code));
    return code;
}

/* nvidia-smi knows compute_cap since driver 510. */
static int is_known(const char *field, const char *driver)
{
    size_t place;

    if (strcmp(field, "compute_cap") == 0 && atoi(driver) < 510)
        return 0;
    for (place = 0; place < sizeof TITLES / sizeof TITLES[0]; ++place)
        if (strcmp(field, TITLES[place]) == 0)
            return 1;
    return 0;
}

static void print_field(const char *field, const struct facts *facts, int has_units)
{
    const struct device *device = facts->device;
    unsigned int count = 0;

    if (strcmp(field, "index") == 0)
        printf("%u", facts->index);
    else if (strcmp(field, "name") == 0 || strcmp(field, "gpu_name") == 0)
        printf("%s", device->name);
    else if (strcmp(field, "uuid") == 0 || strcmp(field, "gpu_uuid") == 0)
        printf("%s", device->uuid);
    else if (strcmp(field, "driver_version") == 0)
        printf("%s", facts->driver);
    else if (strcmp(field, "memory.total") == 0)
        printf("%ld%s", device->memory_mib, has_units ? " MiB" : "");
    else if (strcmp(field, "compute_cap") == 0)
        printf("%d.%d", device->major, device->minor);
    else if (strcmp(field, "count") == 0 && nvmlDeviceGetCount_v2(&count) == NVML_SUCCESS)
        printf("%u", count);
    else
        printf("%s", device->bus_id);
}

static int is_meant(const struct options *options, const struct facts *facts)
{
    char number[16];

    snprintf(number, sizeof number, "%u", facts->index);
    return options->id == NULL || strcmp(options->id, number) == 0 || strcmp(options->id, facts->device->uuid) == 0;
}

static int split_fields(char *text, char **fields)
{
    int count = 0;
    char *field;

    for (field = strtok(text, ", "); field != NULL && count < MAX_FIELDS; field = strtok(NULL, ", "))
        fields[count++] = field;
    return count;
}

static void print_header(char *const *fields, int count, int has_units)
{
    int place;

    for (place = 0; place < count; ++place)
        printf("%s%s%s", place ? ", " : "", fields[place],
               has_units && strcmp(fields[place], "memory.total") == 0 ? " [MiB]" : "");
    puts("");
}

static void print_row(char *const *fields, int count, const struct facts *facts, int has_units)
{
    int place;

    for (place = 0; place < count; ++place) {
        printf("%s", place ? ", " : "");
        print_field(fields[place], facts, has_units);
    }
    puts("");
}

static void print_list_line(const struct facts *facts)
{
    printf("GPU %u: %s (UUID: %s)\n", facts->index, facts->device->name, facts->device->uuid);
}

static const char RULE[] = "+-----------------------------------------------------------------------------+";

static void print_table_head(const char *driver, int cuda)
{
    char version[16];

    snprintf(version, sizeof version, "%d.%d", cuda / 1000, cuda % 1000 / 10);
    puts(RULE);
    puts("| SIMULATED by the tests of gpuenv: there is no NVIDIA driver on this machine |");
    printf("| NVIDIA-SMI %-12s Driver Version: %-12s CUDA Version: %-8s |\n", driver, driver, version);
    puts(RULE);
}

static void print_table_row(const struct facts *facts)
{
    printf("| %3u  %-52s %10ldMiB     |\n", facts->index, facts->device->name, facts->device->memory_mib);
}

static void print_device(const struct options *options, char *const *fields, int field_count,
                         const struct facts *facts)
{
    if (options->is_list)
        print_list_line(facts);
    else if (options->query != NULL)
        print_row(fields, field_count, facts, options->has_units);
    else
        print_table_row(facts);
}

/* The devices that are meant; how many. */
static int select_devices(const struct options *options, const char *driver, struct facts *chosen)
{
    unsigned int count = 0;
    unsigned int index;
    int found = 0;

    nvmlDeviceGetCount_v2(&count);
    for (index = 0; index < count; ++index) {
        struct facts facts = {NULL, index, driver};

        nvmlDeviceGetHandleByIndex_v2(index, &facts.device);
        if (is_meant(options, &facts))
            chosen[found++] = facts;
    }
    return found;
}

static int report(const struct options *options)
{
    char driver[TEXT_SIZE] = "";
    char *fields[MAX_FIELDS];
    struct facts chosen[MAX_DEVICES];
    int has_table = options->query == NULL && !options->is_list;
    int field_count = options->query == NULL ? 0 : split_fields(options->query, fields);
    int count;
    int cuda = 0;
    int place;

    nvmlSystemGetDriverVersion(driver, sizeof driver);
    nvmlSystemGetCudaDriverVersion(&cuda);
    for (place = 0; place < field_count; ++place)
        if (!is_known(fields[place], driver)) {
            printf("Field \"%s\" is not a valid field to query.\n\n", fields[place]);
            return EXIT_INVALID_ARGUMENT;
        }
    count = select_devices(options, driver, chosen);
    if (count == 0) {
        puts(options->is_list ? "No devices found." : "No devices were found");
        return NVML_ERROR_NOT_FOUND;
    }
    if (field_count > 0 && options->has_header)
        print_header(fields, field_count, options->has_units);
    if (has_table)
        print_table_head(driver, cuda);
    for (place = 0; place < count; ++place)
        print_device(options, fields, field_count, &chosen[place]);
    if (has_table)
        puts(RULE);
    return EXIT_SUCCESS;
}

static const char *value_of(const char *argument, const char *name)
{
    size_t length = strlen(name);

    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

static int parse_argument(struct options *options, char *argument)
{
    const char *value;

    if (strcmp(argument, "-L") == 0 || strcmp(argument, "--list-gpus") == 0) {
        options->is_list = 1;
    } else if ((value = value_of(argument, "--query-gpu=")) != NULL) {
        options->query = argument + (value - argument);
    } else if ((value = value_of(argument, "--format=")) != NULL && strncmp(value, "csv", 3) == 0) {
        options->has_format = 1;
        options->has_header = strstr(value, "noheader") == NULL;
        options->has_units = strstr(value, "nounits") == NULL;
    } else if ((value = value_of(argument, "--id=")) != NULL) {
        options->id = value;
    } else {
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    struct options options = {0, NULL, NULL, 0, 1, 1};
    int place;
    int status;

    for (place = 1; place < argc; ++place) {
        if (strcmp(argv[place], "-i") == 0 && place + 1 < argc)
            options.id = argv[++place];
        else if (!parse_argument(&options, argv[place])) {
            printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
            return EXIT_INVALID_ARGUMENT;
        }
    }
    if ((options.query != NULL) != options.has_format) {
        printf("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.\n\n");
        return EXIT_INVALID_ARGUMENT;
    }
    status = nvmlInit_v2();
    return status == NVML_SUCCESS ? report(&options) : fail(status);
}
