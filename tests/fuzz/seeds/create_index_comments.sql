CREATE/* a /* b */ c */INDEX--x
 i ON t(lower(a));drop index i