/* Reads scenario.txt: one fact for each line, fields separated by tabs (written by scenario.py). */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Not sscanf or strtol: newer C libraries give those new names, which older containers do not know. */
static long number_of(const char *text)
{
    long value = 0;

    for (; *text >= '0' && *text <= '9'; ++text)
        value = value * 10 + (*text - '0');
    return value;
}

static void copy_text(char *target, const char *source)
{
    strncpy(target, source, TEXT_SIZE - 1);
    target[TEXT_SIZE - 1] = '\0';
}

static void join_root(char *target, const char *path)
{
    const char *root = getenv(ROOT_VARIABLE);

    snprintf(target, PATH_SIZE, "%s%s", root == NULL ? "" : root, path);
}

static int has_node(const char *name)
{
    char node[TEXT_SIZE];
    char path[PATH_SIZE];

    snprintf(node, sizeof node, "/dev/%s", name);
    join_root(path, node);
    return access(path, R_OK | W_OK) == 0;
}

static void read_device(struct scenario *found, char *const *fields)
{
    char node[TEXT_SIZE];
    struct device *device = &found->devices[found->count];

    device->minor_number = (int)number_of(fields[1]);
    copy_text(device->uuid, fields[2]);
    copy_text(device->bus_id, fields[3]);
    device->major = (int)number_of(fields[4]);
    device->minor = (int)number_of(fields[5]);
    device->memory_mib = number_of(fields[6]);
    device->multiprocessors = (int)number_of(fields[7]);
    copy_text(device->brand, fields[8]);
    copy_text(device->name, fields[9]);
    snprintf(node, sizeof node, "nvidia%d", device->minor_number);
    if (has_node(node))
        found->count += 1;
}

static void read_line(struct scenario *found, char *line)
{
    enum { FIELDS = 10 };
    char *fields[FIELDS];
    int count = 0;

    line[strcspn(line, "\n")] = '\0';
    while (line != NULL && count < FIELDS) {
        char *end = strchr(line, '\t');

        if (end != NULL)
            *end++ = '\0';
        fields[count++] = line;
        line = end;
    }
    if (strcmp(fields[0], "device") == 0 && count == FIELDS && found->count < MAX_DEVICES)
        read_device(found, fields);
    else if (strcmp(fields[0], "driver") == 0 && count == 2)
        copy_text(found->driver, fields[1]);
    else if (strcmp(fields[0], "library") == 0 && count == 2)
        copy_text(found->library, fields[1]);
    else if (strcmp(fields[0], "cuda") == 0 && count == 2)
        found->cuda = (int)number_of(fields[1]);
}

void read_scenario(struct scenario *found)
{
    char path[PATH_SIZE];
    char line[1024];
    FILE *stream;

    memset(found, 0, sizeof *found);
    join_root(path, SCENARIO_FILE);
    stream = fopen(path, "r");
    if (stream == NULL)
        return;
    while (fgets(line, sizeof line, stream) != NULL)
        read_line(found, line);
    fclose(stream);
    found->has_control = has_node("nvidiactl");
    found->has_uvm = has_node("nvidia-uvm");
}
