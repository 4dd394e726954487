# Run by conda in PowerShell when this environment is deactivated: what activate.ps1 set aside comes back.
if ($Env:GPUENV_ACTIVE) {
    $Env:PYTHONNOUSERSITE = $Env:GPUENV_SAVED_PYTHONNOUSERSITE
    $Env:PYTHONPATH = $Env:GPUENV_SAVED_PYTHONPATH
    foreach ($name in "ACTIVE", "SAVED_PYTHONNOUSERSITE", "SAVED_PYTHONPATH") {
        Remove-Item -ErrorAction SilentlyContinue "Env:GPUENV_$name"
    }
}
