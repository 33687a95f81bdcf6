"""Where EPC pages come from: one module for each way, all behind `base.Provider`."""
