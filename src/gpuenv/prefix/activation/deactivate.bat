@rem Run by conda in cmd when this environment is deactivated: what activate.bat set aside comes back.
@if not defined GPUENV_ACTIVE goto :eof
@set "PYTHONNOUSERSITE=%GPUENV_SAVED_PYTHONNOUSERSITE%"
@set "PYTHONPATH=%GPUENV_SAVED_PYTHONPATH%"
@set "GPUENV_ACTIVE="
@set "GPUENV_SAVED_PYTHONNOUSERSITE="
@set "GPUENV_SAVED_PYTHONPATH="
