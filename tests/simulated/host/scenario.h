/* What a simulated driver knows: the scenario that the tests wrote, seen through the device nodes that are here.
 *
 * As with the real driver, a device exists for a program only if its node (/dev/nvidia0, ...) does, so a runtime hook
 * hides a device by leaving its node out.
 */
#ifndef GPUENV_SIMULATED_SCENARIO_H
#define GPUENV_SIMULATED_SCENARIO_H

#define SCENARIO_FILE "/usr/share/gpuenv-simulated/scenario.txt"
/* A folder that stands for "/", so that the programs can be run on a machine without touching its /dev. */
#define ROOT_VARIABLE "GPUENV_SIMULATED_ROOT"

enum { MAX_DEVICES = 16, TEXT_SIZE = 96, PATH_SIZE = 4096 };

struct device {
    char uuid[TEXT_SIZE];
    char bus_id[TEXT_SIZE];
    char brand[TEXT_SIZE];
    char name[TEXT_SIZE];
    int major;
    int minor;
    long memory_mib;
    int multiprocessors;
    int minor_number;
};

struct scenario {
    char driver[TEXT_SIZE];  /* the kernel's module */
    char library[TEXT_SIZE]; /* libcuda, NVML and nvidia-smi */
    int cuda;                /* as cuDriverGetVersion says it: 11.0 is 11000 */
    int has_control;         /* /dev/nvidiactl: without it there is no driver at all */
    int has_uvm;             /* /dev/nvidia-uvm: without it CUDA does not start, NVML does */
    int count;
    struct device devices[MAX_DEVICES]; /* those with a node, in the order of the scenario */
};

/* Fills in what is found; without a readable scenario there is no driver. Not exported by the libraries. */
__attribute__((visibility("hidden"))) void read_scenario(struct scenario *found);

#endif
