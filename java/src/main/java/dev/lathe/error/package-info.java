/** Errors that a user can act on, and the exit code that each one stands for. Below every floor. */
package dev.lathe.error;
