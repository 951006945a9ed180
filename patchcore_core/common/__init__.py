"""What every module may use: errors, whole files, progress, free memory."""
