/** The operations as their formulas read, in double precision: what every backend is tested by. */
package dev.lathe.backend.reference;
