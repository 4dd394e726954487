@rem Run by conda in cmd when this environment is activated. conda has put this environment's CUDA (Library\bin) first
@rem in the PATH; what is kept out here are packages of `pip install --user` and of a PYTHONPATH.
@if defined GPUENV_ACTIVE goto :eof
@set "GPUENV_ACTIVE=%CONDA_PREFIX%"
@set "GPUENV_SAVED_PYTHONNOUSERSITE=%PYTHONNOUSERSITE%"
@set "GPUENV_SAVED_PYTHONPATH=%PYTHONPATH%"
@set "PYTHONNOUSERSITE=1"
@set "PYTHONPATH="
