do E'begin execute ''create ''
 || ''index i on '' || quote_ident(\'t\') || format(''(%I)'', x); end' language plpgsql