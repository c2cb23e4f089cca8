/** The CPU: own kernels called through java.lang.foreign, and ND4J where they cannot be had. */
package dev.lathe.backend.cpu;
