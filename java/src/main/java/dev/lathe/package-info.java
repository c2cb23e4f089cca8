/** Lathe: measures, optimizes and validates neural networks. */
package dev.lathe;
