-- A timeline's version is computed from its messages, which are a function call away.
SELECT 1;
