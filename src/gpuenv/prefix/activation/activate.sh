# shellcheck shell=sh
# Sourced by conda, mamba and micromamba (and by gpuenv) when this environment is activated: bash, zsh, dash.
# CUDA needs no variable: links beside TensorFlow's own libraries lead to it. What is kept out here is the rest of the
# account: packages of `pip install --user`, and a PYTHONPATH, would come before the locked ones.
if [ -z "${GPUENV_ACTIVE:-}" ]; then
    GPUENV_ACTIVE="${CONDA_PREFIX:-${VIRTUAL_ENV:-}}"
    GPUENV_SAVED_PYTHONNOUSERSITE="${PYTHONNOUSERSITE:-}"
    GPUENV_SAVED_PYTHONPATH="${PYTHONPATH:-}"
    export GPUENV_ACTIVE GPUENV_SAVED_PYTHONNOUSERSITE GPUENV_SAVED_PYTHONPATH
    export PYTHONNOUSERSITE=1
    unset PYTHONPATH
fi
