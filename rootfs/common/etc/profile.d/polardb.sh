# Shells of a login (su - postgres) find the engine's programs where callers of PolarDB Stack have them.
case :$PATH: in
    *:/u01/polardb_pg/bin:*) ;;
    *) PATH=$PATH:/u01/polardb_pg/bin ;;
esac
