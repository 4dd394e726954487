# shellcheck shell=sh
# Sourced when this environment is deactivated: what activate.sh set aside comes back.
if [ -n "${GPUENV_ACTIVE:-}" ]; then
    unset PYTHONNOUSERSITE
    if [ -n "${GPUENV_SAVED_PYTHONNOUSERSITE:-}" ]; then
        export PYTHONNOUSERSITE="$GPUENV_SAVED_PYTHONNOUSERSITE"
    fi
    if [ -n "${GPUENV_SAVED_PYTHONPATH:-}" ]; then
        export PYTHONPATH="$GPUENV_SAVED_PYTHONPATH"
    fi
    unset GPUENV_ACTIVE GPUENV_SAVED_PYTHONNOUSERSITE GPUENV_SAVED_PYTHONPATH
fi
