/** A house in small that breaks the architecture rule, to prove that the rule is looked at. */
package dev.lathe.canary;
