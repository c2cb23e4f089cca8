package dev.lathe.backend.cuda;

import java.util.OptionalLong;

/**
 * What a GPU's sensors said at one moment. A figure that this GPU has no sensor for is absent, not
 * 0.
 *
 * @param usedBytes device memory in use, by all processes
 * @param totalBytes device memory
 * @param multiprocessorMegahertz clock of the multiprocessors now; {@code
 *     maxMultiprocessorMegahertz} the highest it can have
 * @param memoryMegahertz clock of the memory now; {@code maxMemoryMegahertz} the highest it can
 *     have
 * @param temperatureCelsius of the chip
 * @param powerMilliwatts drawn now, {@code powerLimitMilliwatts} what it is held to
 * @param energyMillijoules drawn since the driver was loaded: differences of it are energy
 * @param busyPercent of the last sampling period in which a kernel ran
 * @param memoryBusyPercent of it in which memory was read or written
 */
public record NvmlReading(
    OptionalLong usedBytes,
    OptionalLong totalBytes,
    OptionalLong multiprocessorMegahertz,
    OptionalLong maxMultiprocessorMegahertz,
    OptionalLong memoryMegahertz,
    OptionalLong maxMemoryMegahertz,
    OptionalLong temperatureCelsius,
    OptionalLong powerMilliwatts,
    OptionalLong powerLimitMilliwatts,
    OptionalLong energyMillijoules,
    OptionalLong busyPercent,
    OptionalLong memoryBusyPercent) {}
