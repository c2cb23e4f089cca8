/** The operations that a model needs, once per kind of hardware. */
package dev.lathe.backend;
