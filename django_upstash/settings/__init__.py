"""The settings of this package: what they may say, how they are read and checked."""
