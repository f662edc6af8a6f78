"""Any CNN: models of timm, of torchvision and of a user's modules, built, wrapped, admitted, with calibrated weights."""
