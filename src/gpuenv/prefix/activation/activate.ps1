# Run by conda in PowerShell when this environment is activated. conda has put this environment's CUDA (Library\bin)
# first in the PATH; what is kept out here are packages of `pip install --user` and of a PYTHONPATH.
if (-not $Env:GPUENV_ACTIVE) {
    $Env:GPUENV_ACTIVE = $Env:CONDA_PREFIX
    $Env:GPUENV_SAVED_PYTHONNOUSERSITE = $Env:PYTHONNOUSERSITE
    $Env:GPUENV_SAVED_PYTHONPATH = $Env:PYTHONPATH
    $Env:PYTHONNOUSERSITE = "1"
    $Env:PYTHONPATH = $null
}
