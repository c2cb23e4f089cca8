/** Measure, optimize, validate: one technique at a time, accepted or reverted by what it cost. */
package dev.lathe.optimize;
